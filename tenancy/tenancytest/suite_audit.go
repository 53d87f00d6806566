package tenancytest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

var auditCases = []suiteCase{
	{"audit", "an audit entry exists if and only if its savepoint and its unit committed, and says who, what and what changed", audit},
	{"audit of system units", "a system unit may act without a tenant, but not without a reason in the log", auditSystem},
	{"audit readers", "a tenant reads its own log only, by subject, actor and page", auditReaders},
	{"bad audit", "an entry that cannot be stored rolls the unit back", badAudit},
	{"one actor", "an entry is never attributed to somebody who did not act", oneActor},
}

// auditLog returns the log of ctx's tenant, oldest first.
func (s *suite) auditLog(ctx context.Context, tenant, subject, actor string, before int64, limit int) []tenancy.AuditEntry {
	s.Helper()
	list, err := tenancy.All[tenancy.AuditEntry](ctx, s.db, sqltext.ListAudit, tenant, subject, actor, before, limit)
	s.ok(err)
	slices.Reverse(list)
	return list
}

func auditText(list []tenancy.AuditEntry) []string {
	text := []string{}
	for _, e := range list {
		changes, _ := json.Marshal(e.Changes) // raw JSON that came from JSON
		text = append(text, strings.TrimSpace(fmt.Sprintf("%s|%s|%s|%s %s %s %s %s", e.Actor, e.OnBehalfOf, e.IP, e.RequestID,
			e.Action, e.Subject, strings.ReplaceAll(string(changes), " ", ""), e.Reason)))
	}
	return text
}

type subject struct {
	Name   string
	Size   int64
	Tags   []string `json:",omitempty"`
	Secret string   `json:"-"`
}

func audit(s *suite) {
	ctx := tenancy.WithActor(s.ctx, tenancy.Actor{ID: "support", OnBehalfOf: "ann", IP: "192.0.2.1", RequestID: "r1"})
	write := func(action string, before, after any) func(context.Context, *tenancy.Tx) error {
		return func(_ context.Context, tx *tenancy.Tx) error {
			tx.Audit(tenancy.Audit{Action: action, Subject: "s/1", Before: before, After: after})
			return nil
		}
	}
	one := subject{Name: "a", Size: 1 << 60, Secret: "x"}
	two := one
	two.Size++
	two.Tags = []string{"t"}
	s.ok(s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.ok(write("made", nil, one)(ctx, tx))
		s.is(s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			s.ok(write("undone", nil, one)(ctx, tx))
			return errPlanned
		}), errPlanned)
		s.ok(s.db.Do(ctx, write("changed", one, &two)))
		return write("same", two, two)(ctx, tx)
	}))
	s.is(s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "k", 1)
		s.ok(write("never", one, two)(ctx, tx))
		return errPlanned
	}), errPlanned)
	s.ok(s.db.Do(s.ctx, write("gone", two, nil)))
	who := "support|ann|192.0.2.1|r1"
	s.equal(auditText(s.auditLog(s.ctx, "acme", "", "", 0, 100)), []string{
		who + ` made s/1 {"Name":{"new":"a"},"Size":{"new":1152921504606846976}}`,
		who + ` changed s/1 {"Size":{"old":1152921504606846976,"new":1152921504606846977},"Tags":{"new":["t"]}}`,
		who + ` same s/1 {}`,
		`||| gone s/1 {"Name":{"old":"a"},"Size":{"old":1152921504606846977},"Tags":{"old":["t"]}}`,
	})
}

func auditSystem(s *suite) {
	system := tenancy.System(context.WithoutCancel(s.ctx), "clean up")
	none := tenancy.System(context.Background(), "clean up")
	write := func(_ context.Context, tx *tenancy.Tx) error { tx.Audit(tenancy.Audit{Action: "cleaned"}); return nil }
	s.ok(s.db.Do(system, write))
	s.ok(s.db.Do(none, write))
	s.equal(auditText(s.auditLog(s.ctx, "acme", "", "", 0, 10)), []string{"||| cleaned  {} clean up"})
	s.equal(auditText(s.auditLog(none, "", "", "", 0, 10)), []string{"||| cleaned  {} clean up"})
}

func auditReaders(s *suite) {
	for i := range 6 {
		ctx := tenancy.WithActor(s.ctx, tenancy.Actor{ID: fmt.Sprint("u", i%2), OnBehalfOf: fmt.Sprint("v", i%3)})
		s.ok(s.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
			tx.Audit(tenancy.Audit{Action: fmt.Sprint("a", i), Subject: fmt.Sprint("s", i/3)})
			return nil
		}))
	}
	actions := func(list []tenancy.AuditEntry) (names []string) {
		for _, e := range list {
			names = append(names, e.Action)
		}
		return names
	}
	s.equal(actions(s.auditLog(s.ctx, "acme", "s1", "", 0, 10)), []string{"a3", "a4", "a5"})
	s.equal(actions(s.auditLog(s.ctx, "acme", "", "u1", 0, 10)), []string{"a1", "a3", "a5"})
	s.equal(actions(s.auditLog(s.ctx, "acme", "s1", "v2", 0, 10)), []string{"a5"})
	page := s.auditLog(s.ctx, "acme", "", "", 0, 2)
	s.equal(actions(page), []string{"a4", "a5"})
	s.equal(actions(s.auditLog(s.ctx, "acme", "", "", page[0].Seq, 2)), []string{"a2", "a3"})
	s.equal(s.auditLog(s.ctx, "acme", "", "", 1<<40, 2), page) // a log may grow beyond 32 bits
	s.equal(s.auditLog(tenancy.WithID(s.ctx, "globex"), "acme", "", "", 0, 10), []tenancy.AuditEntry{})
}

func badAudit(s *suite) {
	long := strings.Repeat("x", 1<<20)
	for name, a := range map[string]tenancy.Audit{
		"no action":   {},
		"nul":         {Action: "a\x00"},
		"long":        {Action: "a", Subject: long},
		"unencodable": {Action: "a", After: make(chan int)},
		"no object":   {Action: "a", After: 7},
		"nul inside":  {Action: "a", After: subject{Name: "\x00"}},
		"too large":   {Action: "a", After: subject{Name: long}},
	} {
		err := s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			s.put(ctx, tx, name, 1)
			tx.Audit(a)
			return nil
		})
		if err == nil {
			s.Errorf("%s: the unit committed", name)
		}
	}
	ctx := tenancy.WithActor(s.ctx, tenancy.Actor{ID: long})
	if err := s.db.Do(ctx, func(context.Context, *tenancy.Tx) error { return nil }); err == nil {
		s.Error("a long actor was accepted")
	}
	s.equal(s.rows(s.ctx), []string{})
	s.equal(s.auditLog(s.ctx, "acme", "", "", 0, 10), []tenancy.AuditEntry{})
}

func oneActor(s *suite) {
	ann := tenancy.WithActor(s.ctx, tenancy.Actor{ID: "ann"})
	s.ok(s.db.Do(ann, func(ctx context.Context, tx *tenancy.Tx) error {
		bob := tenancy.WithActor(ctx, tenancy.Actor{ID: "bob"})
		if err := s.db.Do(bob, func(context.Context, *tenancy.Tx) error { return nil }); err == nil {
			s.Error("a nested unit changed the actor")
		}
		return s.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { tx.Audit(tenancy.Audit{Action: "a"}); return nil })
	}))
	s.equal(auditText(s.auditLog(s.ctx, "acme", "", "", 0, 10)), []string{"ann||| a  {}"})
}
