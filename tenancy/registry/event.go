package registry

import (
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
)

// Event is what the registry emits for every change. It says what happened to whom, not with what values: who needs those
// reads them, as they are by then. Its types are
//
//	tenant.created updated renamed suspended activated archived deleting deleted cleared exported imported
//	member.added role_changed removed      invitation.created accepted revoked
//	key.created rotated revoked            setting.changed  flag.changed  quota.changed
//	domain.claimed verified failing revoked removed
//	impersonation.started redeemed ended
//
// each with its first word before it, as in "tenant.renamed". Events of one subject keep their order.
type Event struct {
	Type    string `json:"type"`
	Tenant  string `json:"tenant"`
	Subject string `json:"subject,omitempty"` // the user, the id or the name; empty for the tenant itself
	Old     string `json:"old,omitempty"`     // state, slug or role before
	New     string `json:"new,omitempty"`     // and after
}

// EventType implements tenancy.Event.
func (e Event) EventType() string { return e.Type }

// EventKey orders the events of one subject.
func (e Event) EventKey() string { return e.Tenant + "/" + e.path() }

// path is the subject with its kind before it, "member/ann"; empty for the tenant itself.
func (e Event) path() string {
	if e.Subject == "" {
		return ""
	}
	kind, _, _ := strings.Cut(e.Type, ".")
	return kind + "/" + e.Subject
}

// fields are the state of something in the audit log.
type fields map[string]any

// changed emits an event and writes an audit entry, both with COMMIT.
func changed(tx *tenancy.Tx, e Event, before, after fields) {
	e.Tenant = tx.ID()
	tx.Emit(e)
	a := tenancy.Audit{Action: e.Type, Subject: e.path()}
	if before != nil {
		a.Before = before
	}
	if after != nil {
		a.After = after
	}
	tx.Audit(a)
}
