package promjobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/internal/endings"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/promjobs"
)

type mail struct{ To string }

func (mail) Kind() string { return "mail" }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// scrape returns the lines that Prometheus would get, but for comments and
// buckets.
func scrape(t testing.TB, registry *prometheus.Registry) []string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, w.Code, w.Body)
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(w.Body.String()), "\n"), func(line string) bool {
		return line[0] == '#' || strings.Contains(line, "_bucket{")
	})
}

func TestScrape(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, registry := jobstest.New(t), prometheus.NewPedanticRegistry()
		observer, err := promjobs.New(registry, d, &promjobs.Options{Queue: "mails"})
		require.NoError(t, err)
		q, err := jobs.New(d, &jobs.Options{Observer: observer, MaxAttempts: 2, Logger: quiet, Backoff: func(int) time.Duration { return time.Second }})
		require.NoError(t, err)
		jobs.Handle(q, func(_ context.Context, m mail) error {
			<-time.After(2 * time.Second)
			if m.To == "nobody" {
				return errors.New("no such address")
			}
			return nil
		})
		enqueue := func(to string, opts *jobs.EnqueueOptions) {
			_, err := q.Enqueue(t.Context(), mail{To: to}, opts)
			require.NoError(t, err)
		}
		enqueue("ann", &jobs.EnqueueOptions{Key: "a", Scope: jobs.Replace, Delay: 3 * time.Second})
		enqueue("ann", &jobs.EnqueueOptions{Key: "a", Scope: jobs.Replace, Delay: 3 * time.Second})
		enqueue("bob", &jobs.EnqueueOptions{Key: "b"})
		enqueue("bob", &jobs.EnqueueOptions{Key: "b"})
		enqueue("nobody", nil)
		require.Subset(t, scrape(t, registry), []string{
			`jobs_enqueued_total{kind="mail",outcome="duplicate",queue="mails"} 1`,
			`jobs_enqueued_total{kind="mail",outcome="replaced",queue="mails"} 1`,
			`jobs_enqueued_total{kind="mail",outcome="stored",queue="mails"} 3`,
			`jobs_depth{queue="mails",state="ready"} 2`,
			`jobs_depth{queue="mails",state="scheduled"} 1`,
			`jobs_handlers{queue="mails"} 0`,
			`jobs_store_up{queue="mails"} 1`,
		})

		jobstest.Drain(t, d, q)
		lines := scrape(t, registry)
		require.Subset(t, lines, []string{
			`jobs_finished_total{kind="mail",outcome="dead",queue="mails"} 1`,
			`jobs_finished_total{kind="mail",outcome="failed",queue="mails"} 1`,
			`jobs_finished_total{kind="mail",outcome="completed",queue="mails"} 2`,
			`jobs_run_seconds_count{kind="mail",queue="mails"} 4`,
			`jobs_run_seconds_sum{kind="mail",queue="mails"} 8`,
			`jobs_wait_seconds_count{kind="mail",queue="mails"} 3`,
			`jobs_handlers{queue="mails"} 0`,
			`jobs_depth{queue="mails",state="dead"} 1`,
			`jobs_depth{queue="mails",state="ready"} 0`,
			`jobs_lease_lost_total{queue="mails"} 0`,
		})
		require.NotContains(t, strings.Join(lines, "\n"), "tenant")

		d.Fail(jobstest.OpInspect, errors.New("connection refused"))
		lines = scrape(t, registry)
		require.Contains(t, lines, `jobs_store_up{queue="mails"} 0`)
		require.NotContains(t, strings.Join(lines, "\n"), "jobs_depth", "an old depth would look like a new one")
	})
}

func TestEachOutcomeIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		observer, err := promjobs.New(registry, nil, nil)
		require.NoError(t, err)
		require.NoError(t, endings.Run(t.Context(), jobstest.New(t), &jobs.Options{Observer: observer}))
		lines := slices.DeleteFunc(scrape(t, registry), func(line string) bool { return !strings.HasPrefix(line, "jobs_finished_total") })
		require.ElementsMatch(t, []string{
			`jobs_finished_total{kind="mail",outcome="completed",queue="default"} 2`,
			`jobs_finished_total{kind="mail",outcome="failed",queue="default"} 1`,
			`jobs_finished_total{kind="mail",outcome="dead",queue="default"} 1`,
			`jobs_finished_total{kind="mail",outcome="discarded",queue="default"} 1`,
			`jobs_finished_total{kind="mail",outcome="snoozed",queue="default"} 3`,
			`jobs_finished_total{kind="mail",outcome="cancelled",queue="default"} 1`,
			`jobs_finished_total{kind="mail",outcome="interrupted",queue="default"} 1`,
		}, lines)
	})
}

// Trouble is counted where it is seen.
func TestTrouble(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	observer, err := promjobs.New(registry, nil, nil)
	require.NoError(t, err)
	ctx := t.Context()
	observer.Stuck(ctx, jobs.Info{Kind: "mail"}, jobs.ErrTimeout)
	observer.LeaseLost(ctx, 3)
	observer.Reclaimed(ctx, 4, 1)
	lines := scrape(t, registry)
	require.Subset(t, lines, []string{
		`jobs_stuck_total{kind="mail",queue="default"} 1`,
		`jobs_lease_lost_total{queue="default"} 1`,
		`jobs_reclaimed_total{outcome="retried",queue="default"} 4`,
		`jobs_reclaimed_total{outcome="dead",queue="default"} 1`,
	})
	require.NotContains(t, strings.Join(lines, "\n"), "jobs_store_up", "nobody was asked")
}

// Whatever a program enqueues, the number of time series has a bound.
func TestKindsAreBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	observer, err := promjobs.New(registry, nil, nil)
	require.NoError(t, err)
	for n := range 1000 {
		observer.Enqueued(t.Context(), jobs.Info{Kind: fmt.Sprint("kind-", n)}, jobs.Receipt{})
		observer.Finished(t.Context(), jobs.Info{Kind: fmt.Sprint("kind-", n)}, time.Second, nil, "completed")
	}
	lines := scrape(t, registry)
	require.Less(t, len(lines), 4*201+10)
	require.Contains(t, lines, `jobs_enqueued_total{kind="other",outcome="stored",queue="default"} 800`)
	require.Contains(t, lines, `jobs_enqueued_total{kind="kind-199",outcome="stored",queue="default"} 1`)
}

// hanging is a store that does not answer.
type hanging struct{}

func (hanging) Stats(ctx context.Context) (driver.Stats, error) {
	<-ctx.Done()
	return driver.Stats{}, ctx.Err()
}

func TestHangingStoreHoldsUpNoScrape(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		_, err := promjobs.New(registry, hanging{}, &promjobs.Options{Timeout: 100 * time.Millisecond})
		require.NoError(t, err)
		began := time.Now()
		require.Contains(t, scrape(t, registry), `jobs_store_up{queue="default"} 0`)
		require.Equal(t, 100*time.Millisecond, time.Since(began))
	})
}

func TestRegistering(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	_, err := promjobs.New(registry, nil, nil)
	require.NoError(t, err)
	_, err = promjobs.New(registry, nil, &promjobs.Options{Queue: "second"})
	require.NoError(t, err)
	_, err = promjobs.New(registry, nil, &promjobs.Options{Queue: "default"})
	require.ErrorAs(t, err, &prometheus.AlreadyRegisteredError{})
	_, err = promjobs.New(nil, nil, nil)
	require.Error(t, err)
	_, err = promjobs.New(registry, nil, &promjobs.Options{Queue: "third", Timeout: -1})
	require.ErrorContains(t, err, "Options.Timeout")
	_, err = promjobs.New(registry, nil, &promjobs.Options{Queue: "third", Buckets: []float64{2, 1}})
	require.ErrorContains(t, err, "Options.Buckets")
}

func ExampleNew() {
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	store := jobstest.NewDriver()        // redisjobs.New(rdb, nil) in production
	observer, err := promjobs.New(registry, store, nil)
	if err != nil {
		panic(err)
	}
	q, err := jobs.New(store, &jobs.Options{Observer: observer})
	if err != nil {
		panic(err)
	}
	_, _ = q.Enqueue(context.Background(), mail{To: "ann"}, nil)

	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "jobs_enqueued") || strings.Contains(line, "ready") {
			fmt.Print(line)
		}
	}
	// Output:
	// jobs_depth{queue="default",state="ready"} 1
	// jobs_enqueued_total{kind="mail",outcome="stored",queue="default"} 1
}
