package sqldb_test

import (
	"context"
	"database/sql"
	"net/url"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/sqldb"
)

const notesSQL = `
create table notes (
    tenant_id text not null,
    id        bigint generated always as identity,
    body      text not null,
    primary key (tenant_id, id)
);
create unique index notes_body on notes (tenant_id, body);
select tenancy.protect('notes');
grant usage on schema public to tenancy_app, tenancy_system;
`

// world is a database with notes, as database/sql and as tenancy.
type world struct {
	*testing.T
	pg  *testenv.PG
	db  *tenancy.DB
	std *sql.DB
}

func open(t *testing.T) *world {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations, fstest.MapFS{"1.sql": {Data: []byte(notesSQL)}})
	return on(t, pg, pg.App)
}

func on(t *testing.T, pg *testenv.PG, pool *pgxpool.Pool) *world {
	db, err := tenancy.New(pool, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	std := sqldb.Open(db, nil)
	t.Cleanup(func() { require.NoError(t, std.Close()) })
	return &world{T: t, pg: pg, db: db, std: std}
}

func (w *world) tenant(id string) context.Context { return tenancy.WithID(w.Context(), id) }

// bodies returns the notes that the tenant of ctx sees.
func (w *world) bodies(ctx context.Context) []string {
	w.Helper()
	list, err := tenancy.All[string](ctx, w.db, `select body from notes order by id`)
	require.NoError(w, err)
	return list
}

// through returns a pool of one connection behind a proxy that counts round trips.
func through(t *testing.T, target string) (*pgxpool.Pool, *testenv.TCPProxy) {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(target)
	require.NoError(t, err)
	addr := cfg.ConnConfig.Host + ":" + strconv.Itoa(int(cfg.ConnConfig.Port))
	if cfg.ConnConfig.Host[0] == '/' {
		addr = cfg.ConnConfig.Host + "/.s.PGSQL." + strconv.Itoa(int(cfg.ConnConfig.Port))
	}
	proxy := testenv.Proxy(t, addr)
	at, err := url.Parse("//" + proxy.Addr)
	require.NoError(t, err)
	port, err := strconv.ParseUint(at.Port(), 10, 16)
	require.NoError(t, err)
	cfg.ConnConfig.Host, cfg.ConnConfig.Port, cfg.MaxConns = at.Hostname(), uint16(port), 1
	cfg.ConnConfig.Fallbacks = nil
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, proxy
}

// collect reads one text column.
func collect(t require.TestingT, rows *sql.Rows, err error) (list []string) {
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		list = append(list, s)
	}
	require.NoError(t, rows.Err())
	return list
}
