package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// cluster is a number of databases, named db0, db1, … for the DB, in which tenants of the same names live.
type cluster struct {
	main      *testenv.PG
	databases map[string]*testenv.PG
	perPool   int32
	opened    atomic.Int64
}

func newCluster(t *testing.T, n int, perPool int32) *cluster {
	t.Helper()
	c := &cluster{main: testenv.Postgres(t, tenancy.Migrations, schema), databases: map[string]*testenv.PG{}, perPool: perPool}
	for i := range n {
		c.databases[fmt.Sprint("db", i)] = testenv.Postgres(t, tenancy.Migrations, schema)
	}
	return c
}

func (c *cluster) config(_ context.Context, name string, system bool) (*pgxpool.Config, error) {
	pg := c.databases[name]
	if pg == nil {
		return nil, fmt.Errorf("there is no %s", name)
	}
	url := pg.AppURL
	if system {
		url = pg.SystemURL
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.opened.Add(1)
	cfg.MaxConns = c.perPool
	return cfg, nil
}

// place puts tenant dbN into database dbN and all others into the common one.
func (c *cluster) place(_ context.Context, tenant string) (tenancy.Placement, error) {
	if c.databases[tenant] == nil {
		return tenancy.Placement{}, nil
	}
	return tenancy.Placement{Database: tenant}, nil
}

func (c *cluster) open(t *testing.T, o tenancy.Options) *tenancy.DB {
	t.Helper()
	o.System, o.Place, o.Databases = c.main.System, c.place, c.config
	db, err := tenancy.New(c.main.App, &o)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}

// backends counts the connections that the server has in the databases, in one look; autovacuum is none.
func (c *cluster) backends(ctx context.Context, t *testing.T) (n int) {
	t.Helper()
	var names []string
	for _, pg := range c.databases {
		names = append(names, pg.App.Config().ConnConfig.Database)
	}
	require.NoError(t, c.main.App.QueryRow(ctx, `select count(*) from pg_stat_activity where datname = any($1) and backend_type = 'client backend'`, names).Scan(&n))
	return n
}

func TestDatabasePlacement(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 4)
	seal := newSeal(t, "k1")
	for _, pg := range []*testenv.PG{c.main, c.databases["db0"], c.databases["db1"]} {
		require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, seal, nil))
	}
	db := c.open(t, tenancy.Options{Seal: seal})
	for _, tenant := range []string{"db0", "db1", "acme"} {
		require.NoError(t, db.Do(tenancy.WithID(t.Context(), tenant), func(ctx context.Context, tx *tenancy.Tx) error {
			tx.Emit(noteAdded{tenant})
			_, err := tx.Exec(ctx, insertNote, tenant)
			return err
		}))
	}
	for tenant, pg := range map[string]*testenv.PG{"db0": c.databases["db0"], "db1": c.databases["db1"], "acme": c.main} {
		for _, table := range []string{"notes", "tenancy.outbox"} {
			var tenants []string
			require.NoError(t, pg.System.QueryRow(t.Context(), `select array_agg(tenant_id) from `+table).Scan(&tenants))
			require.Equal(t, []string{tenant}, tenants, table)
		}
		bodies, err := tenancy.All[string](tenancy.WithID(t.Context(), tenant), db, `select body from notes`)
		require.NoError(t, err)
		require.Equal(t, []string{tenant}, bodies)
		// A system unit of a tenant goes where the tenant is.
		bodies, err = tenancy.All[string](tenancy.System(tenancy.WithID(t.Context(), tenant), "test"), db, `select body from notes`)
		require.NoError(t, err)
		require.Equal(t, []string{tenant}, bodies)
	}
	// One of no tenant is in the common database unless the handle says otherwise; a relay takes such a handle.
	for database, want := range map[string]string{"": "acme", "db0": "db0", "db1": "db1"} {
		at := db.At(database)
		key, err := tenancy.One[string](tenancy.System(t.Context(), "relay"), at, `select key from tenancy.outbox`)
		require.NoError(t, err)
		require.Equal(t, want, key)
		require.NoError(t, at.Check(t.Context()))
		require.NoError(t, at.With(&tenancy.TxOptions{}).Read(tenancy.WithID(t.Context(), want), func(ctx context.Context, tx *tenancy.Tx) error {
			n, err := tenancy.One[int](ctx, tx, `select count(*)::int from notes`)
			require.Equal(t, 1, n)
			return err
		}), "With and Read keep the database")
	}
}

func TestPlacementMismatch(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 4)
	db := c.open(t, tenancy.Options{Retries: -1})
	nothing := func(context.Context, *tenancy.Tx) error { return nil }
	ctx := tenancy.WithID(t.Context(), "db0")
	require.ErrorIs(t, db.At("db1").Do(ctx, nothing), tenancy.ErrTenantMismatch)
	_, err := tenancy.One[int](ctx, db.At(""), `select 1`)
	require.ErrorIs(t, err, tenancy.ErrTenantMismatch)
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		require.NoError(t, db.At("db0").Do(ctx, nothing), "nested, at the same place")
		require.ErrorIs(t, db.At("db1").Do(ctx, nothing), tenancy.ErrTenantMismatch)
		_, err := tenancy.One[int](ctx, db.At("db1"), `select 1`)
		require.ErrorIs(t, err, tenancy.ErrTenantMismatch)
		require.ErrorIs(t, db.Do(tenancy.WithID(ctx, "db1"), nothing), tenancy.ErrTenantMismatch)
		return nil
	}))
	_, err = tenancy.One[int](tenancy.System(t.Context(), "test"), db.At("nowhere"), `select 1`)
	require.ErrorContains(t, err, "there is no nowhere")
	_, err = tenancy.One[int](tenancy.System(t.Context(), "test"), db.At("nowhere"), `select 1`)
	require.ErrorContains(t, err, "there is no nowhere", "asked again: it may be there by then")
}

// TestUnitsStayWherePlacedAcrossRetries moves the tenant while a unit runs.
func TestUnitsStayWherePlacedAcrossRetries(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 4)
	moved := false
	db, err := tenancy.New(c.main.App, &tenancy.Options{Databases: c.config, Place: func(context.Context, string) (tenancy.Placement, error) {
		if moved {
			return tenancy.Placement{Database: "db1"}, nil
		}
		return tenancy.Placement{Database: "db0"}, nil
	}})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	runs := 0
	require.NoError(t, db.Do(tenancy.WithID(t.Context(), "acme"), func(ctx context.Context, tx *tenancy.Tx) error {
		moved = true
		if runs++; runs == 1 {
			_, err := tx.Exec(ctx, `do $$ begin raise serialization_failure; end $$`)
			return err
		}
		_, err := tx.Exec(ctx, insertNote, "x")
		return err
	}))
	require.Equal(t, 2, runs)
	var n int
	require.NoError(t, c.databases["db0"].System.QueryRow(t.Context(), `select count(*) from notes`).Scan(&n))
	require.Equal(t, 1, n)
}

// storm runs units of all kinds in all databases at once, and returns the most backends that were ever seen.
func storm(t *testing.T, c *cluster, db *tenancy.DB, units int) (most int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var watching, working sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			most = max(most, c.backends(t.Context(), t))
		}
	})
	const workers = 32
	var failed atomic.Int64
	for range workers {
		working.Go(func() {
			for range units / workers {
				unit(t, c, db, &failed)
			}
		})
	}
	working.Wait()
	stop()
	watching.Wait()
	require.Zero(t, failed.Load())
	// Pools keep what is idle, so a last look sees as many as there were, however rarely the watcher got to look.
	return max(most, c.backends(t.Context(), t))
}

// unit runs one of: a write with an event, a read as system, a unit that is cancelled in the middle of a statement, one
// that fails, and one that gives up waiting.
func unit(t *testing.T, c *cluster, db *tenancy.DB, failed *atomic.Int64) {
	tenant := fmt.Sprint("db", rand.IntN(len(c.databases)))
	ctx := tenancy.WithID(t.Context(), tenant)
	boom := errors.New("boom")
	kind := rand.IntN(10)
	if kind == 0 || kind == 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(1+rand.IntN(30))*time.Millisecond)
		defer cancel()
	}
	if kind == 2 {
		ctx = tenancy.System(ctx, "test")
	}
	err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Emit(noteAdded{tenant})
		if _, err := tx.Exec(ctx, `insert into notes (tenant_id, body) values ($1, 'x')`, tenant); err != nil {
			return err
		}
		switch kind {
		case 0:
			_, err := tx.Exec(ctx, `select pg_sleep(30)`)
			return err
		case 3:
			return boom
		}
		return nil
	})
	switch {
	case err == nil, kind == 3 && errors.Is(err, boom):
	case kind < 2 && ctx.Err() != nil:
	default:
		failed.Add(1)
		t.Errorf("kind %d: %v", kind, err)
	}
}

func TestConnectionCeiling(t *testing.T) {
	t.Parallel()
	c := newCluster(t, testenv.Rounds(10, 50), 3)
	const ceiling = 6
	db := c.open(t, tenancy.Options{MaxConns: ceiling})
	most := storm(t, c, db, testenv.Rounds(500, 5000))
	require.LessOrEqual(t, most, ceiling)
	require.Equal(t, ceiling, most, "the storm reaches the ceiling, or it proves nothing")
	db.Close()
	require.Zero(t, c.backends(t.Context(), t), "Close leaves no connection")
	_, err := tenancy.One[int](tenancy.WithID(t.Context(), "db0"), db, `select 1`)
	require.ErrorContains(t, err, "closed")
	_, err = tenancy.One[int](tenancy.WithID(t.Context(), "acme"), db, `select 1`)
	require.NoError(t, err, "the pools given to New stay open")
	db.Close()
}

// TestWithoutCeilingThereAreMore is the planted fault: the storm is able to see too many connections.
func TestWithoutCeilingThereAreMore(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 8, 3)
	require.Greater(t, storm(t, c, c.open(t, tenancy.Options{MaxConns: -1}), 500), 6)
}

// TestWaitingForAConnection: at the ceiling, units wait as long as their context, and a busy database does not keep others waiting.
func TestWaitingForAConnection(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 2)
	db := c.open(t, tenancy.Options{MaxConns: 3, Retries: -1})
	hold := func(tenant string) (release func()) {
		held, done := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			err := db.Do(tenancy.WithID(t.Context(), tenant), func(ctx context.Context, tx *tenancy.Tx) error {
				_, err := tx.Exec(ctx, `select 1`)
				close(held)
				<-done
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-held
		return func() { close(done); wg.Wait() }
	}
	ping := func(tenant string, within time.Duration) error {
		ctx, cancel := context.WithTimeout(tenancy.WithID(t.Context(), tenant), within)
		defer cancel()
		_, err := tenancy.One[int](ctx, db, `select 1`)
		return err
	}
	first, second := hold("db0"), hold("db0")
	require.ErrorIs(t, ping("db0", 50*time.Millisecond), context.DeadlineExceeded, "its own pool is exhausted")
	var waiting sync.WaitGroup
	for range 10 { // a queue before the busy database
		waiting.Go(func() {
			if err := ping("db0", time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	require.NoError(t, ping("db1", time.Minute), "there is room under the ceiling")
	third := hold("db2") // closes the idle connection of db1
	require.ErrorIs(t, ping("db1", 50*time.Millisecond), context.DeadlineExceeded, "the ceiling is reached")
	third()
	require.NoError(t, ping("db1", time.Minute), "an idle connection gave way")
	first()
	second()
	waiting.Wait()
	require.LessOrEqual(t, c.backends(t.Context(), t), 3)
}

// TestUnreachableDatabaseHarmsNoOther: places of connections that could not be made are given back.
func TestUnreachableDatabaseHarmsNoOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 2)
	broken := func(ctx context.Context, name string, system bool) (*pgxpool.Config, error) {
		if name == "db0" {
			return c.config(ctx, name, system)
		}
		cfg, err := pgxpool.ParseConfig(strings.Replace(c.main.AppURL, "/t_", "/missing_", 1))
		return cfg, err
	}
	db, err := tenancy.New(c.main.App, &tenancy.Options{MaxConns: 1, Retries: -1, Databases: broken, System: c.main.System})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	ctx := tenancy.WithID(t.Context(), "acme")
	for range 5 {
		_, err = tenancy.One[int](ctx, db.At("missing"), `select 1`)
		require.ErrorContains(t, err, "3D000")
		_, err = tenancy.One[int](ctx, db.At("db0"), `select 1`)
		require.NoError(t, err)
	}
	simple := func(ctx context.Context, name string, system bool) (*pgxpool.Config, error) {
		cfg, err := c.config(ctx, "db0", system)
		if err == nil {
			cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		}
		return cfg, err
	}
	db, err = tenancy.New(c.main.App, &tenancy.Options{Databases: simple, Seal: newSeal(t, "k1")})
	require.NoError(t, err)
	_, err = tenancy.One[int](ctx, db.At("db0"), `select 1`)
	require.ErrorContains(t, err, "simple protocol")
}

// forgetful is a driver that loses the answer to the next COMMIT.
type forgetful struct {
	tenancy.Driver
	lose atomic.Bool
}

func (d *forgetful) Acquire(ctx context.Context, t tenancy.Target) (tenancy.Session, error) {
	s, err := d.Driver.Acquire(ctx, t)
	return &forgetfulSession{Session: s, driver: d}, err
}

type forgetfulSession struct {
	tenancy.Session
	driver *forgetful
	lost   bool
}

func (s *forgetfulSession) Lost() bool { return s.lost || s.Session.Lost() }

func (s *forgetfulSession) Send(ctx context.Context, b *tenancy.Batch) (pgx.BatchResults, error) {
	results, err := s.Session.Send(ctx, b)
	if err == nil && b.Commit && s.driver.lose.Swap(false) {
		s.lost = true
		return lostResults{results}, nil
	}
	return results, err
}

type lostResults struct{ pgx.BatchResults }

func (r lostResults) Close() error {
	return errors.Join(r.BatchResults.Close(), errors.New("connection lost"))
}

// TestLostCommitIsLookedUpWhereTheUnitWas, not where its tenant has been moved to meanwhile.
func TestLostCommitIsLookedUpWhereTheUnitWas(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 4)
	below := c.open(t, tenancy.Options{})
	driver := &forgetful{Driver: below.Driver()}
	database := "db0"
	db, err := tenancy.New(nil, &tenancy.Options{Driver: driver, Place: func(context.Context, string) (tenancy.Placement, error) {
		return tenancy.Placement{Database: database}, nil
	}})
	require.NoError(t, err)
	driver.lose.Store(true)
	require.NoError(t, db.Do(tenancy.WithID(t.Context(), "acme"), func(ctx context.Context, tx *tenancy.Tx) error {
		database = "db1"
		tx.Emit(noteAdded{"x"})
		_, err := tx.Exec(ctx, insertNote, "x")
		return err
	}), "the event is found, so the unit is known to have committed")
	require.False(t, driver.lose.Load())
}
