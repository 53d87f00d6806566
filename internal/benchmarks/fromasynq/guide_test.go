package fromasynq

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// mailer is what both sides do.
type mailer struct{ sent chan int64 }

func newMailer() *mailer { return &mailer{sent: make(chan int64, 10)} }

func (m *mailer) send(_ context.Context, id int64) error {
	m.sent <- id
	return nil
}

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

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

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

// serve runs an asynq server that looks often.
func serve(t *testing.T, rdb *redis.Client, cfg asynq.Config, mux *asynq.ServeMux) (stop func()) {
	t.Helper()
	cfg.LogLevel, cfg.TaskCheckInterval = asynq.FatalLevel, 10*time.Millisecond
	server := asynq.NewServerFromRedisClient(rdb, cfg)
	require.NoError(t, server.Start(mux))
	return server.Shutdown
}

func task(t *testing.T) *asynq.Task {
	t.Helper()
	task, err := newInvoiceTask(42)
	require.NoError(t, err)
	return task
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	rdb, theirs, ours := redisOf(t), newMailer(), newMailer()
	stopTheirs := background(t, func(ctx context.Context) error { return theirProgram(ctx, rdb, theirs) })
	stopOurs := background(t, func(ctx context.Context) error { return ourProgram(ctx, rdb, ours) }) // on the same Redis: the keys differ
	require.EqualValues(t, 42, <-theirs.sent)
	require.EqualValues(t, 42, <-ours.sent)
	stopTheirs()
	stopOurs()
	require.Empty(t, theirs.sent)
	require.Empty(t, ours.sent)
}

func TestEnqueueing(t *testing.T) {
	t.Parallel()
	ctx, rdb := t.Context(), redisOf(t)
	client, inspector, q := asynq.NewClientFromRedisClient(rdb), asynq.NewInspectorFromRedisClient(rdb), queue(t, rdb, nil)
	due := time.Now().Add(48 * time.Hour)

	require.NoError(t, theirDelays(ctx, client, task(t), due))
	require.NoError(t, ourDelays(ctx, q, due))
	scheduled, err := inspector.ListScheduledTasks("default")
	require.NoError(t, err)
	require.Len(t, scheduled, 2)
	ours, err := q.List(ctx, jobs.Scheduled, 0, 10)
	require.NoError(t, err)
	require.Len(t, ours, 2)
	require.WithinDuration(t, scheduled[1].NextProcessAt, ours[1].At, 2*time.Second, "asynq rounds to seconds")

	for _, want := range []bool{true, false} {
		stored, err := theirUnique(ctx, client, task(t))
		require.NoError(t, err)
		require.Equal(t, want, stored)
		stored, err = ourUnique(ctx, q)
		require.NoError(t, err)
		require.Equal(t, want, stored)
	}

	_, err = theirPriorities(ctx, client, task(t))
	require.NoError(t, err)
	require.NoError(t, ourPriorities(ctx, q))
	next, err := q.List(ctx, jobs.Ready, 0, 10)
	require.NoError(t, err)
	require.NotEqual(t, ours[0].Info.ID, next[0].Info.ID)
	require.Len(t, next, 2, "the one of high priority goes first")

	require.NoError(t, theirCancel(ctx, client, rdb, task(t)))
	n, err := ourCancel(ctx, q)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	_, err = theirSchedule(rdb, berlin)
	require.NoError(t, err)
	require.NoError(t, ourSchedule(q))
	require.NoError(t, limitTenants(ctx, q))
}

func TestFailures(t *testing.T) {
	t.Parallel()
	ctx, rdb := t.Context(), redisOf(t)
	client, inspector := asynq.NewClientFromRedisClient(rdb), asynq.NewInspectorFromRedisClient(rdb)

	cfg, err := theirRetries(ctx, client, task(t))
	require.NoError(t, err)
	require.Equal(t, 2*time.Minute, cfg.RetryDelayFunc(1, nil, nil), "of the second failure")
	var kinds []string
	mux := asynq.NewServeMux()
	mux.HandleFunc(typeInvoice, theirGivingUp)
	theirMiddleware(mux, func(kind string, _ time.Duration, err error) { kinds = append(kinds, kind) })
	stop := serve(t, rdb, cfg, mux)
	require.Eventually(t, func() bool {
		dead, err := inspector.ListArchivedTasks("default")
		return err == nil && len(dead) == 1
	}, time.Minute, 10*time.Millisecond)
	stop()
	require.Equal(t, []string{typeInvoice}, kinds)
	n, err := rerunTheirDead(rdb)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	var seen []error
	opts := ourMiddleware(func(_ string, _ time.Duration, err error) { seen = append(seen, err) })
	opts.Logger = quiet
	q := queue(t, rdb, opts)
	jobs.Handle(q, ourGivingUp)
	_, err = q.Enqueue(ctx, SendInvoice{}, nil)
	require.NoError(t, err)
	stop = background(t, q.Run)
	require.Eventually(t, func() bool {
		stats, err := q.Stats(ctx)
		return err == nil && stats == jobs.Stats{Dead: 1}
	}, time.Minute, 10*time.Millisecond)
	stop()
	require.ErrorIs(t, errors.Join(seen...), errNoCustomer)
	n, err = rerunOurDead(ctx, q)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	retries, err := ourRetries(ctx, q)
	require.NoError(t, err)
	require.Equal(t, 2*time.Minute, retries.Backoff(2))
}

func TestResults(t *testing.T) {
	t.Parallel()
	ctx, rdb := t.Context(), redisOf(t)
	info, err := asynq.NewClientFromRedisClient(rdb).EnqueueContext(ctx, task(t), asynq.Retention(time.Hour))
	require.NoError(t, err)
	mux := asynq.NewServeMux()
	mux.HandleFunc(typeInvoice, theirResult)
	stop := serve(t, rdb, asynq.Config{}, mux)
	require.Eventually(t, func() bool {
		result, err := readTheirResult(rdb, info.ID)
		return err == nil && string(result) == `"page-7.pdf"`
	}, time.Minute, 10*time.Millisecond)
	stop()

	q := queue(t, rdb, nil)
	handleThumbnails(q)
	handleWithin(q, newMailer())
	bound := make(chan []string, 1)
	jobs.Handle(q, func(ctx context.Context, _ Bind) error {
		pages, err := jobs.Inputs[string](ctx)
		bound <- pages
		return err
	})
	stop = background(t, q.Run)
	result, err := ourResult(ctx, q)
	require.NoError(t, err)
	require.Equal(t, "page-7.pdf", result)
	_, err = startDocument(ctx, q)
	require.NoError(t, err)
	require.Equal(t, []string{"page-1.pdf", "page-2.pdf"}, <-bound)
	stop()
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	q, err := jobs.New(jobstest.New(t), nil)
	require.NoError(t, err)
	require.NoError(t, mountDashboard(mux, q, func(h http.Handler) http.Handler { return h }))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/admin/jobs/", nil))
	require.Equal(t, http.StatusOK, w.Code)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	driver, err := redisjobs.New(redisOf(t), nil)
	require.NoError(t, err)
	q, err := measured(registry, driver)
	require.NoError(t, err)
	_, err = q.Enqueue(t.Context(), SendInvoice{ID: 42}, nil)
	require.NoError(t, err)
	families, err := registry.Gather()
	require.NoError(t, err)
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	require.Subset(t, names, []string{"jobs_enqueued_total", "jobs_depth", "jobs_store_up"})
}

func TestMove(t *testing.T) {
	t.Parallel()
	ctx, rdb := t.Context(), redisOf(t)
	client, q := asynq.NewClientFromRedisClient(rdb), queue(t, rdb, nil)
	for range 150 {
		_, err := client.EnqueueContext(ctx, task(t), asynq.ProcessIn(time.Hour))
		require.NoError(t, err)
	}
	n, err := move(ctx, rdb, q)
	require.NoError(t, err)
	require.Equal(t, 150, n)
	left, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo("default")
	require.NoError(t, err)
	require.Zero(t, left.Size)
	stats, err := q.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, jobs.Stats{Scheduled: 150}, stats)
}

// A handler that fails once, its retry and a delay, without Redis and without waiting.
func TestRemindsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		driver := jobstest.New(t)
		q, err := jobs.New(driver, &jobs.Options{Logger: quiet})
		require.NoError(t, err)
		tries := 0
		jobs.Handle(q, func(context.Context, SendInvoice) error {
			if tries++; tries == 1 {
				return errBusy
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
