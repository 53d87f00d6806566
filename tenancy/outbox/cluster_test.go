package outbox_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/tenancy"
)

// cluster is a PostgreSQL of one test, which may crash and lose time.
type cluster struct {
	*testing.T
	dir    string // empty: nothing survives
	server *devstack.PostgresServer
	db     *tenancy.DB
	pools  []*pgxpool.Pool
	admin  *pgxpool.Pool
	system *pgxpool.Pool
}

func newCluster(t *testing.T, durable bool) *cluster {
	t.Helper()
	c := &cluster{T: t}
	if durable {
		c.dir = filepath.Join(t.TempDir(), "data")
	}
	c.start()
	t.Cleanup(func() {
		c.stop()
		if durable {
			require.NoError(t, os.RemoveAll(c.server.Dir)) // it may not lie in the test's folder
		}
	})
	return c
}

func (c *cluster) start() {
	c.Helper()
	require.Eventually(c, func() bool { // children of a killed server live on for a moment and hold its memory
		server, err := devstack.Postgres(c.Context(), &devstack.PostgresOptions{URL: "none", Bin: os.Getenv("TEST_PGBIN"), Dir: c.dir})
		if err != nil {
			c.Log(err)
			return false
		}
		c.server = server
		return true
	}, time.Minute, 20*time.Millisecond)
	app := c.pool(c.server.AppURL)
	c.system, c.admin = c.pool(c.server.SystemURL), c.pool(c.server.AdminURL)
	c.db = on(c.T, app, c.system)
}

// migrate makes the schema.
func (c *cluster) migrate() *cluster {
	c.Helper()
	owner, err := pgx.Connect(c.Context(), c.server.OwnerURL)
	require.NoError(c, err)
	defer owner.Close(context.Background())
	for _, source := range []string{"../migrations/*.sql"} {
		files, err := filepath.Glob(source)
		require.NoError(c, err)
		for _, file := range files {
			sql, err := os.ReadFile(file)
			require.NoError(c, err)
			_, err = owner.PgConn().Exec(c.Context(), string(sql)).ReadAll()
			require.NoError(c, err, file)
		}
	}
	_, err = owner.PgConn().Exec(c.Context(), string(schema["0001_app.sql"].Data)).ReadAll()
	require.NoError(c, err)
	return c
}

func (c *cluster) pool(url string) *pgxpool.Pool {
	p, err := pgxpool.New(c.Context(), url)
	require.NoError(c, err)
	c.pools = append(c.pools, p)
	return p
}

// stop ends the server as a crash would, if it is not dead already.
func (c *cluster) stop() {
	if err := c.server.Kill(); err != nil {
		require.ErrorIs(c, err, os.ErrProcessDone)
	}
	for _, p := range c.pools {
		p.Close()
	}
	c.pools = nil
	require.NoError(c, c.server.Close())
}

func (c *cluster) restart() {
	c.Helper()
	c.stop()
	c.start()
}

// replaceData puts a copy in the place of the stopped server's files.
func (c *cluster) replaceData(from string) {
	require.NoError(c, os.RemoveAll(c.server.Dir))
	require.NoError(c, os.Rename(from, c.server.Dir))
}

// copyTo copies the files of the stopped server.
func (c *cluster) copyTo(to string) {
	out, err := exec.Command("cp", "-a", c.server.Dir, to).CombinedOutput()
	require.NoError(c, err, string(out))
}

// burn makes n transactions without events.
func (c *cluster) burn(n int) {
	_, err := c.admin.Exec(c.Context(), `do $$ begin for i in 1..`+itoa(n)+` loop perform pg_current_xact_id(); commit; end loop; end $$`)
	require.NoError(c, err)
}

// restored returns another cluster with the dump of this one.
func (c *cluster) restored() *cluster {
	c.Helper()
	var bin string
	require.NoError(c, c.admin.QueryRow(c.Context(), `select setting from pg_config where name = 'BINDIR'`).Scan(&bin))
	other := newCluster(c.T, false)
	if _, err := os.Stat(filepath.Join(bin, "pg_dump")); err != nil {
		return c.copyTables(other.migrate())
	}
	dump, err := exec.Command(filepath.Join(bin, "pg_dump"), c.server.AdminURL).Output()
	require.NoError(c, err)
	restore := exec.Command(filepath.Join(bin, "psql"), "-q", "-v", "ON_ERROR_STOP=1", other.server.AdminURL)
	restore.Stdin = strings.NewReader(string(dump))
	out, err := restore.CombinedOutput()
	require.NoError(c, err, string(out))
	return other
}

// copyTables does what pg_dump does, where a server comes without it.
func (c *cluster) copyTables(to *cluster) *cluster {
	c.Helper()
	from, err := c.admin.Acquire(c.Context())
	require.NoError(c, err)
	defer from.Release()
	into, err := to.admin.Acquire(c.Context())
	require.NoError(c, err)
	defer into.Release()
	for _, table := range []string{"tenancy.outbox", "tenancy.outbox_identity", "tenancy.outbox_sink", "public.aggregates"} {
		var data bytes.Buffer
		_, err := from.Conn().PgConn().CopyTo(c.Context(), &data, "copy (select * from "+table+") to stdout")
		require.NoError(c, err)
		_, err = into.Conn().PgConn().CopyFrom(c.Context(), &data, "copy "+table+" from stdin")
		require.NoError(c, err, table)
	}
	_, err = into.Exec(c.Context(), `select setval(pg_get_serial_sequence('tenancy.outbox', 'seq'), (select max(seq) from tenancy.outbox))`)
	require.NoError(c, err)
	return to
}
