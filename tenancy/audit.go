package tenancy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// maxAuditChanges bounds the diff of one audit entry.
const maxAuditChanges = 1 << 20

type actorKey struct{}

// Actor is who acts: the subject of every audit entry. The zero value means nobody in particular, e.g. a scheduled job.
type Actor struct {
	ID         string `json:"id,omitempty"`           // the user, API key or program that acts
	OnBehalfOf string `json:"on_behalf_of,omitempty"` // the user as whom ID acts, in an impersonation; else empty
	IP         string `json:"ip,omitempty"`           // as the caller's proxy rules say; kept as text
	RequestID  string `json:"request_id,omitempty"`   // leads to the log lines of the request
}

// WithActor returns a context whose units of work are attributed to a. It stores and checks nothing else; a field that is
// not UTF-8 of at most 255 bytes without NUL fails the unit at its first statement.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the actor of ctx; ok is false when WithActor was not called.
func ActorFrom(ctx context.Context) (a Actor, ok bool) {
	a, ok = ctx.Value(actorKey{}).(Actor)
	return a, ok
}

// Audit is an entry for the audit log: what was done to what. Who did it, when and from where comes from the unit.
type Audit struct {
	// Action names what happened, e.g. "member.removed". It must not be empty.
	Action string

	// Subject names what it happened to, e.g. "member/0192…". Empty means the tenant itself.
	Subject string

	// Before and After are the state of the subject around the change, as JSON objects or values that encode as such.
	// Only fields in which they differ are kept; nil stands for "did not exist". Leave secrets out of them with a
	// `json:"-"` tag: the log cannot be changed afterwards.
	Before, After any
}

// AuditEntry is an entry of the audit log, a row of tenancy.audit. Rows are read with All.
type AuditEntry struct {
	Seq        int64     // orders the entries of a database
	ID         string    // UUID
	TenantID   string    // empty for a system unit without a tenant
	At         time.Time // by the database's clock
	Actor      string    // Actor.ID
	OnBehalfOf string
	IP         string
	RequestID  string
	Reason     string // of tenancy.System; empty for units of the app role
	Role       string // the database login that wrote the entry
	Action     string
	Subject    string
	Changes    map[string]AuditChange // by field
}

// AuditChange is one field of AuditEntry.Changes. A nil side means that the field did not exist there.
type AuditChange struct {
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

// Audit writes an entry into the append-only table tenancy.audit together with COMMIT, so it costs no round trip and exists
// only if the unit, and the savepoint it was called in, commits. Entries keep their order. The actor is the one of the
// context that Do was called with. The values are encoded before Audit returns.
//
// An entry that cannot be encoded, has no action or whose diff is larger than 1 MiB rolls the unit back; Do returns that
// error. Once the unit ends it does nothing.
func (tx *Tx) Audit(a Audit) {
	row, err := newAuditRow(a)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.over() {
		return // with nobody to tell: the function that could be has returned
	}
	s := tx.top()
	if err != nil {
		if s.err == nil {
			s.err = err
		}
		return
	}
	s.audits = append(s.audits, row)
}

// auditRow is an entry on its way to the database.
type auditRow struct{ id, action, subject, changes string }

func newAuditRow(a Audit) (auditRow, error) {
	switch {
	case a.Action == "":
		return auditRow{}, errors.New("tenancy: audit entry without an action")
	case !plainText(a.Action) || !plainText(a.Subject):
		return auditRow{}, fmt.Errorf("tenancy: action or subject of audit entry %.40q is not UTF-8 of at most %d bytes without NUL", a.Action, maxID)
	}
	changes, err := diff(a.Before, a.After)
	if err != nil {
		return auditRow{}, fmt.Errorf("tenancy: audit entry %q: %w", a.Action, err)
	}
	if len(changes) > maxAuditChanges {
		return auditRow{}, fmt.Errorf("tenancy: the changes of audit entry %q have %d bytes, the limit is %d", a.Action, len(changes), maxAuditChanges)
	}
	return auditRow{newID(time.Now()), a.Action, a.Subject, string(changes)}, nil
}

// diff returns the fields in which two JSON objects differ.
func diff(before, after any) ([]byte, error) {
	older, err := fieldsOf(before)
	if err != nil {
		return nil, err
	}
	newer, err := fieldsOf(after)
	if err != nil {
		return nil, err
	}
	changes := map[string]AuditChange{}
	for name, value := range older {
		if other, ok := newer[name]; !ok || !bytes.Equal(value, other) {
			changes[name] = AuditChange{Old: value, New: other}
		}
	}
	for name, value := range newer {
		if _, ok := older[name]; !ok {
			changes[name] = AuditChange{New: value}
		}
	}
	return json.Marshal(changes)
}

// fieldsOf encodes a state. Marshalling maps twice makes the bytes of equal values equal: keys are sorted, space is gone.
func fieldsOf(state any) (map[string]json.RawMessage, error) {
	if state == nil {
		return nil, nil
	}
	text, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	// PostgreSQL's jsonb refuses an escaped NUL; refusing it here names the entry. An escaped backslash in front makes it a text.
	if bytes.Contains(bytes.ReplaceAll(text, []byte(`\\`), nil), []byte(`\u0000`)) {
		return nil, errors.New("before or after contains a NUL character")
	}
	var values map[string]any
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber() // a big integer is not rounded
	if err := numbers.Decode(&values); err != nil {
		return nil, fmt.Errorf("before and after are JSON objects: %w", err)
	}
	fields := make(map[string]json.RawMessage, len(values))
	for name, value := range values {
		if fields[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// marker is the id by which a unit is looked up after a lost answer to COMMIT, or empty if it leaves no trace.
func (s *scope) marker() string {
	switch {
	case len(s.events) > 0:
		return s.events[0].ID
	case len(s.audits) > 0:
		return s.audits[0].id
	}
	return ""
}

// auditStep is the statement that writes the entries of a unit, or ok is false if there are none.
func (tx *Tx) auditStep(rows []auditRow) (s step, ok bool) {
	n := len(rows)
	if n == 0 {
		return step{}, false
	}
	ids, actions, subjects, changes := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, r := range rows {
		ids[i], actions[i], subjects[i], changes[i] = r.id, r.action, r.subject, r.changes
	}
	args := []any{tx.who.tenant, tx.actor, ids, actions, subjects, changes}
	return step{Step{Op: OpExec, SQL: sqltext.InsertAudit, Args: args}, 0}, true
}

// actorText is the actor of ctx as it travels to the database: JSON in the setting tenancy.actor of the transaction, where
// the triggers of tenancy.audit_changes find it, and as an argument of what Tx.Audit writes. Empty means nobody.
func actorText(ctx context.Context) (string, error) {
	a, ok := ActorFrom(ctx)
	reason, _ := ctx.Value(systemKey{}).(string)
	if !ok && reason == "" {
		return "", nil
	}
	for _, field := range []string{a.ID, a.OnBehalfOf, a.IP, a.RequestID, reason} {
		if !plainText(field) {
			return "", fmt.Errorf("tenancy: a field of the actor or the system reason is not UTF-8 of at most %d bytes without NUL", maxID)
		}
	}
	text, err := json.Marshal(struct {
		Actor
		Reason string `json:"reason,omitempty"`
	}{a, reason})
	return string(text), err
}

func plainText(s string) bool { return len(s) <= maxID && utf8.ValidString(s) && !hasNUL(s) }
