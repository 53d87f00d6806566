package guard_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
)

// TestTenantsAreComparedWhole: a tenant that does not fit into the column is not taken for another one, whatever its type cuts.
func TestTenantsAreComparedWhole(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations)
	_, err := pg.Owner.Exec(t.Context(), `create domain short as varchar(10); create domain shorter as short; create domain key as uuid`)
	require.NoError(t, err)
	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	long := strings.Repeat("x", 63)
	for _, c := range []struct{ kind, fits, one, other string }{
		{"varchar(10)", "customer-1", "customer-10", "customer-11"},
		{"char(10)", "customer-1", "customer-10", "customer-11"},
		{"short", "customer-1", "customer-10", "customer-11"},
		{"shorter", "customer-1", "customer-10", "customer-11"},
		{"name", long, long + "1", long + "2"},
		{"numeric(4,0)", "1", "1.2", "1.4"},
		{"varchar", "acme", "", ""},
		{"key", "0190163d-8694-739b-aea5-966c26f8ad91", "", ""},
		{"bigint", "7", "", ""},
	} {
		_, err := pg.Owner.Exec(t.Context(), `create table kept (tenant_id `+c.kind+` primary key, body text); select tenancy.protect('kept')`)
		require.NoError(t, err, c.kind)
		found, err := guard.Audit(t.Context(), pg.App, nil)
		require.NoError(t, err)
		for _, f := range found {
			require.Equal(t, guard.Slow, f.Severity, "%s: %v", c.kind, f)
		}
		write := func(tenant string) error {
			_, err := db.Exec(tenancy.WithID(t.Context(), tenant), `insert into kept (body) values ('of '|| tenancy.tenant_id())`)
			return err
		}
		read := func(tenant string) []string {
			list, err := tenancy.All[string](tenancy.WithID(t.Context(), tenant), db, `select body from kept`)
			require.NoError(t, err, c.kind)
			return list
		}
		require.NoError(t, write(c.fits), c.kind)
		require.Equal(t, []string{"of " + c.fits}, read(c.fits), c.kind)
		if c.one != "" {
			var refusal *pgconn.PgError
			require.ErrorAs(t, write(c.one), &refusal, c.kind)
			require.Contains(t, []string{"22001", "42501"}, refusal.Code, c.kind)
			require.Empty(t, read(c.one), c.kind)
			require.Empty(t, read(c.other), c.kind)
		}
		_, err = pg.Owner.Exec(t.Context(), `drop table kept`)
		require.NoError(t, err)
	}
}
