package guard_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
)

// TestShadowsRunAsTheOwner is why T24 is a breach: a function that runs with the owner's rights and names a table or a type without
// its schema finds the temporary ones of injected SQL first, and they run what that SQL likes. Here they read the key of the seal.
func TestShadowsRunAsTheOwner(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations)
	_, err := pg.Owner.Exec(t.Context(), `
		create table notes (tenant_id text not null, id bigint, body text, primary key (tenant_id, id));
		select tenancy.protect('notes');
		create table parts (tenant_id text not null, id bigint, body text, primary key (tenant_id, id),
			foreign key (tenant_id, id) references notes on delete cascade);
		select tenancy.protect('parts');
		create table lines (body text);
		grant insert on lines to tenancy_app`)
	require.NoError(t, err)
	seal, err := tenancy.NewSeal("k1", []byte("the secret of a key that is long enough"))
	require.NoError(t, err)
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, seal, nil))
	db, err := tenancy.New(pg.App, &tenancy.Options{Seal: seal})
	require.NoError(t, err)
	const steal = `create function pg_temp.steal() returns boolean language plpgsql as $$ begin
			perform set_config('app.stolen', coalesce((select min(kid) from tenancy.seal_key), ''), true); return true; exception when insufficient_privilege then return true; end $$;
		create function pg_temp.steals() returns trigger language plpgsql as $$ begin perform pg_temp.steal(); return new; end $$;
		set local search_path = public, pg_temp; `
	const line, kind = steal + `create temp table lines (body pg_catalog.text); grant insert on pg_temp.lines to public;
		create trigger steals before insert on pg_temp.lines for each row execute function pg_temp.steals(); reset search_path; set local search_path = "$user", public; `,
		steal + `create domain pg_temp.text as pg_catalog.text check (pg_temp.steal()); grant usage on type pg_temp.text to public; `
	const insert, cascade = `insert into notes (id, body) values (1, 'x')`,
		`insert into notes (id, body) values (1, 'x'); insert into parts (id, body) values (1, 'x'); delete from notes`
	for name, c := range map[string]struct{ function, trigger, attack string }{
		"a table, definer": {`security definer as $$ begin insert into lines (body) values ('x'); return new; end $$`, `insert on notes`, line + insert},
		"a type, definer":  {`security definer set search_path = '' as $$ declare x text := 'x'; begin return new; end $$`, `insert on notes`, kind + insert},
		"a table, cascade": {`as $$ begin insert into lines (body) values ('x'); return old; end $$`, `delete on parts`, line + cascade},
		"a type, cascade":  {`set search_path = pg_catalog as $$ declare x text := 'x'; begin return old; end $$`, `delete on parts`, kind + cascade},
	} {
		_, err := pg.Owner.Exec(t.Context(), `create function work() returns trigger language plpgsql `+c.function+`; create trigger work before `+c.trigger+` for each row execute function work()`)
		require.NoError(t, err, name)
		stolen := func() (kid string) {
			undo := errors.New("undo")
			err := db.Do(tenancy.WithID(t.Context(), "acme"), func(ctx context.Context, tx *tenancy.Tx) (err error) {
				if _, err = tx.Exec(ctx, `select set_config('app.stolen', '', true); `+c.attack); err != nil {
					return err
				}
				if kid, err = tenancy.One[string](ctx, tx, `select current_setting('app.stolen')`); err != nil {
					return err
				}
				return undo
			})
			require.ErrorIs(t, err, undo, name)
			return kid
		}
		require.Equal(t, "k1", stolen(), "%s: nothing is stolen, so there is nothing to find", name)
		found, err := guard.Audit(t.Context(), pg.App, nil)
		require.NoError(t, err)
		var fix string
		for _, f := range found {
			if f.Rule == "T24" {
				require.Equal(t, "public.work()", f.Object)
				fix = f.Fix
			}
		}
		require.NotEmpty(t, fix, name)
		_, err = pg.Owner.Exec(t.Context(), fix)
		require.NoError(t, err, fix)
		require.Empty(t, stolen(), "%s: mended", name)
		_, err = pg.Owner.Exec(t.Context(), `drop function work() cascade`)
		require.NoError(t, err)
	}
}
