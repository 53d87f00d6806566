package outside

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

type noteAdded struct{ Body string }

func (noteAdded) EventType() string { return "note.added" }

func TestNotesBelongToTheirTenant(t *testing.T) {
	kit := tenancytest.New(t)
	notes := tenancytest.NewTable[string, string](kit)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	err := kit.DB().Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Emit(noteAdded{Body: "hi"})
		return notes.Put(ctx, "n1", "hi")
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := notes.Get(globex, "n1"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("another tenant got %v", err)
	}
	if got := tenancytest.Emitted[noteAdded](kit); len(got) != 1 {
		t.Errorf("events: %v", got)
	}
}

var migrations = fstest.MapFS{"0001_notes.sql": {Data: []byte(`
create table notes (tenant_id text not null, id bigint, body text not null, primary key (tenant_id, id));
select tenancy.protect('notes');
`)}}

func TestNotesOnPostgreSQL(t *testing.T) {
	kit := tenancytest.Postgres(t, migrations)
	tenancytest.RequireGuarded(t, kit, nil)
	err := kit.DB().Do(kit.Tenant("acme"), func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Emit(noteAdded{Body: "hi"})
		_, err := tx.Exec(ctx, `insert into notes (id, body) values (1, 'hi')`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const read = `select body from notes where id = 1`
	if body, err := tenancy.One[string](kit.Tenant("acme"), kit.DB(), read); err != nil || body != "hi" {
		t.Errorf("got %q, %v", body, err)
	}
	if _, err := tenancy.One[string](kit.Tenant("globex"), kit.DB(), read); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("another tenant got %v", err)
	}
	if got := tenancytest.Emitted[noteAdded](kit); len(got) != 1 {
		t.Errorf("events: %v", got)
	}
}
