package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// The code of docs/moving-a-tenant.md; move_test.go runs it under load, kills it and takes its steps away.

// home names the database that a tenant lives in. It is kept in the directory; empty means the common database.
var home = registry.Setting[string]{Name: "database"}

// places answers Options.Place from memory.
type places struct {
	directory *registry.Registry
	ttl       time.Duration

	mu    sync.Mutex
	known map[string]place
}

type place struct {
	tenancy.Placement
	until time.Time
}

// find is Options.Place.
func (p *places) find(ctx context.Context, tenant string) (tenancy.Placement, error) {
	p.mu.Lock()
	at, ok := p.known[tenant]
	p.mu.Unlock()
	if ok && time.Now().Before(at.until) {
		return at.Placement, nil
	}
	c, err := p.directory.Config(tenancy.WithID(ctx, tenant))
	if err != nil {
		return tenancy.Placement{}, err
	}
	database, err := home.Get(c)
	if err != nil {
		return tenancy.Placement{}, err
	}
	at = place{tenancy.Placement{Database: database}, time.Now().Add(p.ttl)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[tenant] = at
	return at.Placement, nil
}

// do runs a unit, and runs it again where the tenant is now if it is not where it was.
func (p *places) do(ctx context.Context, db *tenancy.DB, fn func(context.Context, *tenancy.Tx) error) error {
	err := db.Do(ctx, fn)
	if errors.Is(err, tenancy.ErrMoved) {
		id, _ := tenancy.IDFrom(ctx)
		p.mu.Lock()
		delete(p.known, id)
		p.mu.Unlock()
		err = db.Do(ctx, fn)
	}
	return err
}

// mover moves one tenant from the common database to one of its own.
type mover struct {
	db        *tenancy.DB        // the program's, with Place and Databases
	directory *registry.Registry // in the common database; its DB has no Place
	there     *registry.Registry // in the new database; its DB has no Place
	sinks     []outbox.Sink      // of the common database's relays
	to        string             // the name of the new database
	archive   string             // a file's path
	key       []byte             // signs the archive
	step      func(name string)  // hears what comes next
}

// move moves the tenant of ctx. It can be called again after a crash, at whatever step that came.
func (m *mover) move(ctx context.Context) error {
	ctx = registry.Trusted(ctx)
	common, own := m.db.At(""), m.db.At(m.to)
	reason := "moving to " + m.to
	moved, err := m.begun(ctx, reason)
	if err != nil {
		return err
	}
	open := func() error { return own.Restrict(ctx, tenancy.ReadWrite) }
	if moved {
		return open()
	}
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"announce", func() error {
			return m.directory.SetState(ctx, registry.StateChange{To: registry.Suspended, ReadOnly: true, Reason: reason})
		}},
		{"lock", func() error { return own.Restrict(ctx, tenancy.ReadOnly) }},
		{"freeze", func() error { return common.Restrict(ctx, tenancy.ReadOnly) }},
		{"deliver", func() error { return m.deliver(ctx, common) }},
		{"copy", func() error { return m.copy(ctx) }},
		{"switch", func() error { return home.Set(ctx, m.directory, m.to) }},
		{"close", func() error { return common.Restrict(ctx, tenancy.NoAccess) }},
		{"activate", func() error { return m.directory.SetState(ctx, registry.StateChange{To: registry.Active}) }},
		{"open", open},
	} {
		m.step(s.name)
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// begun refuses a tenant that may not be moved now, and tells whether the move is over but for its last step.
func (m *mover) begun(ctx context.Context, reason string) (moved bool, err error) {
	c, err := m.directory.Config(ctx)
	if err != nil {
		return false, err
	}
	at, err := home.Get(c)
	switch t := c.Tenant; {
	case err != nil:
		return false, err
	case t.State == registry.Active && at == m.to:
		return true, nil
	case t.State == registry.Active && at == "", t.State == registry.Suspended && t.Reason == reason:
		return false, nil
	}
	return false, fmt.Errorf("the tenant is %s in %q: %s", c.Tenant.State, at, c.Tenant.Reason)
}

// deliver waits until all sinks have what the tenant emitted in the common database: what it emits in its own comes later.
func (m *mover) deliver(ctx context.Context, common *tenancy.DB) error {
	for _, sink := range m.sinks {
		for {
			n, err := outbox.Pending(ctx, common, sink)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// stays are the tables that a move leaves in the common database: the directory, and the audit log, which takes no old entries.
var stays = []string{"registry.tenants", "registry.members", "registry.settings", "registry.quotas", "tenancy.audit"}

// copy takes the tenant's rows to the new database and compares them there with what they were.
func (m *mover) copy(ctx context.Context) error {
	f, err := os.Create(m.archive)
	if err != nil {
		return err
	}
	defer f.Close()
	want, err := m.directory.Export(ctx, f, &registry.ExportOptions{Skip: stays, Marks: true, Key: m.key})
	if err != nil {
		return err
	}
	for _, left := range want.Left {
		if !strings.HasPrefix(left.Name, "registry.") && !strings.HasPrefix(left.Name, "tenancy.") {
			return fmt.Errorf("%s would stay behind: %s", left.Name, left.Why)
		}
	}
	t, err := m.directory.Get(ctx)
	if err != nil {
		return err
	}
	// The new database knows the tenant, too; nobody asks it who that is.
	if _, err = m.there.Create(ctx, registry.NewTenant{ID: t.ID, Slug: t.Slug}); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = m.there.Import(ctx, f, info.Size(), &registry.ImportOptions{Key: m.key})
	if err != nil && !errors.Is(err, registry.ErrNotEmpty) { // by an attempt before this one; see whether it was
		return err
	}
	got, err := m.there.Export(ctx, io.Discard, &registry.ExportOptions{Skip: stays, Marks: true})
	if err != nil {
		return err
	}
	if !slices.EqualFunc(want.Tables, got.Tables, func(a, b registry.ManifestTable) bool {
		return a.Name == b.Name && a.Rows == b.Rows && a.SHA256 == b.SHA256
	}) {
		return errors.New("the rows there are not those here: undo the move, make the new database anew")
	}
	return nil
}

// undo calls a move off that has not come to its end. It can be repeated. Make the new database anew before the next attempt.
func (m *mover) undo(ctx context.Context) error {
	ctx = registry.Trusted(ctx)
	t, err := m.directory.Get(ctx)
	if err != nil {
		return err
	}
	if t.State != registry.Suspended || t.Reason != "moving to "+m.to {
		return errors.New("the tenant is not being moved")
	}
	common, own := m.db.At(""), m.db.At(m.to)
	for _, do := range []func() error{
		func() error { return common.Restrict(ctx, tenancy.ReadOnly) }, // for readers, whatever they know
		func() error { return home.Unset(ctx, m.directory) },
		func() error { return own.Restrict(ctx, tenancy.NoAccess) },
		func() error { return common.Restrict(ctx, tenancy.ReadWrite) },
		func() error { return m.directory.SetState(ctx, registry.StateChange{To: registry.Active}) },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}
