package fromriver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertest"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
	"github.com/ashlar-go/ashlar/tenancy"
)

// mailer is what both sides do.
type mailer struct{ sent chan int64 }

func newMailer() *mailer { return &mailer{sent: make(chan int64, 10)} }

func (m *mailer) send(_ context.Context, id int64) error {
	m.sent <- id
	return nil
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// server is the Redis of this test binary.
var server = sync.OnceValues(func() (*devstack.RedisServer, error) {
	return devstack.Redis(context.Background(), &devstack.RedisOptions{URL: "none"})
})

var databases atomic.Int64

// redisOf returns a client of an empty database.
func redisOf(t *testing.T) *redis.Client {
	t.Helper()
	s, err := server()
	require.NoError(t, err)
	opts, err := redis.ParseURL(s.URL)
	require.NoError(t, err)
	opts.DB = int(databases.Add(1))
	rdb := redis.NewClient(opts)
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb
}

// postgres returns a database with River's tables, ours, and one for invoices.
func postgres(t *testing.T) *devstack.Database {
	t.Helper()
	all, err := devstack.TestDatabases()
	require.NoError(t, err)
	db, err := all.New(t.Context(), tenancy.Migrations)
	require.NoError(t, err)
	t.Cleanup(func() { db.End(t) })
	migrator, err := rivermigrate.New(riverpgxv5.New(db.Owner), &rivermigrate.Config{Logger: quiet})
	require.NoError(t, err)
	_, err = migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
	_, err = db.Owner.Exec(t.Context(), `create table invoices (id bigint primary key); grant insert on invoices to public`)
	require.NoError(t, err)
	return db
}

// client returns one of River that does not work, unless it has workers.
func client(t *testing.T, pool *pgxpool.Pool, cfg *river.Config) *river.Client[pgx.Tx] {
	t.Helper()
	cfg.Logger, cfg.TestOnly = quiet, true
	if cfg.Workers != nil {
		cfg.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}}
	}
	c, err := river.NewClient(riverpgxv5.New(pool), cfg)
	require.NoError(t, err)
	return c
}

func queue(t *testing.T, rdb *redis.Client, opts *jobs.Options) *jobs.Queue {
	t.Helper()
	driver, err := redisjobs.New(rdb, nil)
	require.NoError(t, err)
	q, err := jobs.New(driver, opts)
	require.NoError(t, err)
	return q
}

// background runs f until the test calls stop.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	pg, rdb, theirs, ours := postgres(t), redisOf(t), newMailer(), newMailer()
	stopTheirs := background(t, func(ctx context.Context) error { return theirProgram(ctx, pg.Owner, theirs) })
	stopOurs := background(t, func(ctx context.Context) error { return ourProgram(ctx, rdb, ours) })
	require.EqualValues(t, 42, <-theirs.sent)
	require.EqualValues(t, 42, <-ours.sent)
	stopTheirs()
	stopOurs()
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	ctx, pg, rdb := t.Context(), postgres(t), redisOf(t)
	require.NoError(t, theirTransaction(ctx, pg.Owner, client(t, pg.Owner, &river.Config{})))
	rivertest.RequireInserted(ctx, t, riverpgxv5.New(pg.Owner), SendInvoice{}, nil)

	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System, Logger: quiet})
	require.NoError(t, err)
	driver, err := redisjobs.New(rdb, nil)
	require.NoError(t, err)
	acme := tenancy.WithID(ctx, "acme")
	require.Error(t, ourTransaction(acme, db), "the invoice is there: no job either")
	_, err = pg.Owner.Exec(ctx, `delete from invoices`)
	require.NoError(t, err)
	require.NoError(t, ourTransaction(acme, db))

	// Both in one transaction, while the system moves.
	_, err = pg.Owner.Exec(ctx, `grant select, insert, update on river_job to public; grant usage on sequence river_job_id_seq to public; delete from river_job`)
	require.NoError(t, err)
	require.NoError(t, bothAtOnce(acme, db, client(t, pg.App, &river.Config{})))
	rivertest.RequireInserted(ctx, t, riverpgxv5.New(pg.Owner), SendInvoice{}, nil)

	stop := background(t, func(ctx context.Context) error { return relay(ctx, db, driver) })
	require.Eventually(t, func() bool {
		stats, err := driver.Stats(ctx)
		return err == nil && stats == jobs.Stats{Ready: 2}
	}, time.Minute, 10*time.Millisecond)
	stop()
}

func TestEffectsHappenOnce(t *testing.T) {
	t.Parallel()
	ctx, pg := t.Context(), postgres(t)
	worked := make(chan error, 1)
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[SendInvoice]) error {
		err := theirEffectOnce(ctx, pg.Owner, job)
		worked <- err
		return err
	}))
	c := client(t, pg.Owner, &river.Config{Workers: workers})
	require.NoError(t, c.Start(ctx))
	_, err := c.Insert(ctx, SendInvoice{ID: 42}, nil)
	require.NoError(t, err)
	require.NoError(t, <-worked)
	require.NoError(t, c.Stop(ctx))

	db, err := tenancy.New(pg.App, &tenancy.Options{Logger: quiet})
	require.NoError(t, err)
	acme := tenancy.WithID(ctx, "acme")
	for range 2 { // the primary key would refuse a second one
		require.NoError(t, ourEffectOncePerRequest(acme, db, Charge{ID: 43, Request: "0198c0de-0000-7000-8000-000000000001"}))
	}
	q, attempts := queue(t, redisOf(t), &jobs.Options{Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID, Logger: quiet}), make(chan error, 2)
	jobs.Handle(q, func(ctx context.Context, a SendInvoice) error {
		attempts <- ourEffectOnce(ctx, db, a)
		if info, _ := jobs.InfoFrom(ctx); info.Attempt == 1 {
			return jobs.Retry(nil, 0)
		}
		return nil
	})
	_, err = q.Enqueue(acme, SendInvoice{ID: 44}, nil)
	require.NoError(t, err)
	stop := background(t, q.Run)
	for range 2 {
		require.NoError(t, <-attempts)
	}
	stop()
}

func TestEnqueueing(t *testing.T) {
	t.Parallel()
	ctx, pg, rdb := t.Context(), postgres(t), redisOf(t)
	c, q := client(t, pg.Owner, &river.Config{}), queue(t, rdb, nil)
	require.NoError(t, theirDelay(ctx, c))
	require.NoError(t, ourDelay(ctx, q))
	for _, want := range []bool{true, false} {
		stored, err := theirUnique(ctx, c)
		require.NoError(t, err)
		require.Equal(t, want, stored)
		stored, err = ourUnique(ctx, q)
		require.NoError(t, err)
		require.Equal(t, want, stored)
	}
	require.NoError(t, theirPriority(ctx, c))
	require.NoError(t, ourPriority(ctx, q))
	periodic, err := theirPeriodicJobs()
	require.NoError(t, err)
	require.Len(t, periodic, 1)
	require.NoError(t, ourSchedule(q))

	n, err := move(ctx, c, q)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	stats, err := q.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, jobs.Stats{Ready: 2, Scheduled: 2}, stats)
}

func TestFailures(t *testing.T) {
	t.Parallel()
	ctx, pg, rdb := t.Context(), postgres(t), redisOf(t)
	logged := make(chan error, 10)
	log := func(_ string, _ time.Duration, err error) { logged <- err }
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(theirVerdict))
	c := client(t, pg.Owner, &river.Config{Workers: workers, Middleware: theirMiddleware(log)})
	require.NoError(t, c.Start(ctx))
	_, err := c.Insert(ctx, SendInvoice{}, nil)
	require.NoError(t, err)
	require.ErrorIs(t, <-logged, errNoCustomer)
	require.NoError(t, c.Stop(ctx))
	_, err = pg.Owner.Exec(ctx, `update river_job set state = 'discarded'`) // as if all attempts had failed
	require.NoError(t, err)
	n, err := theirDead(ctx, c)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	opts := ourMiddleware(log)
	opts.Logger = quiet
	q := queue(t, rdb, opts)
	jobs.Handle(q, ourVerdict)
	_, err = q.Enqueue(ctx, SendInvoice{}, nil)
	require.NoError(t, err)
	stop := background(t, q.Run)
	require.ErrorIs(t, <-logged, errNoCustomer)
	stop()
	n, err = ourDead(ctx, q)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestResults(t *testing.T) {
	t.Parallel()
	ctx, pg, rdb := t.Context(), postgres(t), redisOf(t)
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(theirResult))
	emitted := make(chan string, 1000)
	c := client(t, pg.Owner, &river.Config{Workers: workers, Plugins: theirMetrics(func(name string, _ rivertype.Metric) { emitted <- name })})
	done, unsubscribe := c.Subscribe(river.EventKindJobCompleted)
	defer unsubscribe()
	require.NoError(t, c.Start(ctx))
	_, err := c.Insert(ctx, Thumbnail{Page: 7}, nil)
	require.NoError(t, err)
	require.JSONEq(t, `"page-7.pdf"`, string((<-done).Job.Output()))
	require.NoError(t, c.Stop(ctx))
	require.Contains(t, <-emitted, "job_get_available")

	q := queue(t, rdb, ourOptions())
	handleThumbnails(q)
	bound := make(chan []string, 1)
	jobs.Handle(q, func(ctx context.Context, _ Bind) error {
		pages, err := jobs.Inputs[string](ctx)
		bound <- pages
		return err
	})
	stop := background(t, q.Run)
	result, err := ourResult(ctx, q)
	require.NoError(t, err)
	require.Equal(t, "page-7.pdf", result)
	_, err = startDocument(ctx, q)
	require.NoError(t, err)
	require.Equal(t, []string{"page-1.pdf", "page-2.pdf"}, <-bound)
	stop()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	driver, err := redisjobs.New(redisOf(t), nil)
	require.NoError(t, err)
	q, err := measured(metricnoop.NewMeterProvider(), tracenoop.NewTracerProvider(), driver)
	require.NoError(t, err)
	_, err = q.Enqueue(t.Context(), SendInvoice{ID: 42}, nil)
	require.NoError(t, err)
}

// A worker of River is tested in a transaction of a real PostgreSQL.
func TestTheirWorker(t *testing.T) {
	t.Parallel()
	ctx, m := t.Context(), newMailer()
	tx, err := postgres(t).Owner.Begin(ctx)
	require.NoError(t, err)
	defer tx.Rollback(ctx)

	worker := rivertest.NewWorker(t, riverpgxv5.New(nil), &river.Config{Logger: quiet}, &InvoiceWorker{m: m})
	result, err := worker.Work(ctx, t, tx, SendInvoice{ID: 42}, nil)
	require.NoError(t, err)
	require.Equal(t, river.EventKindJobCompleted, result.EventKind)
	require.EqualValues(t, 42, <-m.sent)
}

// Ours is tested without a server; the retry and the delay take no time.
func TestOurHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		driver := jobstest.New(t)
		q, err := jobs.New(driver, &jobs.Options{Logger: quiet})
		require.NoError(t, err)
		tries := 0
		jobs.Handle(q, func(context.Context, SendInvoice) error {
			if tries++; tries == 1 {
				return errors.New("mail server is busy")
			}
			return nil
		})
		_, err = q.Enqueue(t.Context(), SendInvoice{ID: 42}, &jobs.EnqueueOptions{Delay: time.Hour})
		require.NoError(t, err)
		require.Equal(t, []SendInvoice{{ID: 42}}, jobstest.Enqueued[SendInvoice](t, driver))

		jobstest.Drain(t, driver, q)
		require.Equal(t, 2, tries)
	})
}
