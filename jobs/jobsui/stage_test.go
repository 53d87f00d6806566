package jobsui_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/jobsui"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

type task struct {
	Name   string `json:"name"`
	Recipe string `json:"recipe,omitempty"` // "", "fail" or "hang"
}

type (
	render struct{ task }
	fetch  struct{ task }
)

func (render) Kind() string { return "report.render" }
func (fetch) Kind() string  { return "page.fetch" }

// past is a store that remembers an hour with much to do, so that there are
// charts to look at.
type past struct{ *redisjobs.Driver }

func (past) History(_ context.Context, since time.Time) ([]jobs.Minute, error) {
	var minutes []jobs.Minute
	for i := range 60 {
		m := jobs.Minute{At: since.UTC().Truncate(time.Minute).Add(time.Duration(i+1) * time.Minute)}
		m.Finished = 420 + int(200*math.Sin(float64(i)/7)) + i*i%37
		m.Failed = max(0, i%11-7) * 9
		for range m.Finished {
			m.Wait[min(3+(m.Wait[3]+i)%5, 19)]++
			m.Run[min(6+(m.Run[6]+i)%4, 19)]++
		}
		minutes = append(minutes, m)
	}
	return minutes, nil
}

// Workers adds some to those that there are: processes in trouble, and one of an
// earlier version.
func (p past) Workers(ctx context.Context) ([]driver.Worker, error) {
	list, err := p.Driver.Workers(ctx)
	add := func(left time.Duration, held int, about string) {
		id := fmt.Sprintf("06F3ZK8T5V%d", len(list))
		w := driver.Worker{ID: id, Left: left}
		if about != "" {
			w.Lease, w.Beat, w.Held, w.About = 15*time.Second, time.Now().Add(left-15*time.Second).UTC(), held, []byte(about)
		}
		list = append(list, w)
	}
	add(-3*time.Second, 17, `{"name":"worker-5d9c7b6f4-x2x7q/1","build":"v1.14.2","up":93600000,"concurrency":16,"running":16}`)
	add(12*time.Second, 3, `{"name":"worker-5d9c7b6f4-9kq2m/1","build":"v1.14.2","up":7260000,"concurrency":16,"running":3,"draining":true}`)
	add(11*time.Second, 0, `{"name":"scheduler-0/1","build":"v1.15.0","up":86000,"concurrency":0}`)
	add(9*time.Second, 0, "")
	return list, err
}

type tenantKey struct{}

// stage is a dashboard in front of queues in which everything happens.
type stage struct {
	*testing.T
	q   *jobs.Queue
	url string
}

func (s *stage) as(tenant string) context.Context {
	return context.WithValue(s.Context(), tenantKey{}, tenant)
}

func newStage(t *testing.T) *stage {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	d, err := redisjobs.New(testenv.Redis(t), nil)
	require.NoError(t, err)
	q, err := jobs.New(past{d}, &jobs.Options{
		Name: "worker-7f6d9c5b8-kx2lp/1", Concurrency: 4, MaxAttempts: 1, Logger: quiet, Backoff: func(int) time.Duration { return 20 * time.Minute },
		Tenant:     func(ctx context.Context) (string, bool) { t, ok := ctx.Value(tenantKey{}).(string); return t, ok },
		WithTenant: func(ctx context.Context, t string) context.Context { return context.WithValue(ctx, tenantKey{}, t) },
	})
	require.NoError(t, err)
	s := &stage{T: t, q: q}
	released := make(chan struct{})
	work := func(ctx context.Context, a task) error {
		switch a.Recipe {
		case "flaky":
			if info, _ := jobs.InfoFrom(ctx); info.Attempt < 3 {
				return jobs.Retry(fmt.Errorf("dial tcp 192.0.2.17:443: connect: connection refused (%d)", info.Attempt), 0)
			}
			return errors.New("the catalogue answered 503 Service Unavailable\nRetry-After: 1200")
		case "fail":
			return errors.New(`421 too many connections from this host, and a very long explanation of what that means: ` + a.Name)
		case "hang":
			jobs.Progress(ctx, 1_340, 2_000, a.Name)
			select {
			case <-released:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	jobs.Handle(q, func(ctx context.Context, a mail) error { return work(ctx, task{Name: a.To, Recipe: a.Recipe}) })
	jobs.Handle(q, func(ctx context.Context, a render) error { return work(ctx, a.task) })
	jobs.HandleResult(q, func(ctx context.Context, a fetch) (string, error) { return "read " + a.Name, work(ctx, a.task) })
	require.NoError(t, q.Cron("reports.nightly", "17 3 * * *", render{task{Name: "nightly"}}, &jobs.CronOptions{Zone: "Europe/Berlin"}))
	require.NoError(t, q.Cron("mail.digest", "0 9 * * mon-fri", mail{To: "all"}, &jobs.CronOptions{Zone: "America/New_York", NoOverlap: true}))
	require.NoError(t, q.Cron("cleanup", "*/15 * * * *", render{task{Name: "cleanup"}}, nil))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	t.Cleanup(func() {
		close(released)
		cancel()
		require.NoError(t, <-ended)
	})
	s.fill()

	empty, err := jobs.New(jobstest.New(t), nil)
	require.NoError(t, err)
	ui, err := jobsui.New(map[string]*jobs.Queue{"mail": q, "imports": empty, "reports": scheduled(t, 40), "solo": scheduled(t, 1)}, &jobsui.Options{Logger: quiet})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/ops/jobs/", http.StripPrefix("/ops/jobs", ui))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s.url = srv.URL + "/ops/jobs/"
	return s
}

// settled waits until the store has so many jobs of each state.
func (s *stage) settled(want jobs.Stats) {
	s.Helper()
	require.Eventually(s, func() bool {
		got, err := s.q.Stats(s.Context())
		return err == nil && got == want
	}, time.Minute, 10*time.Millisecond, "want %+v", want)
}

func (s *stage) enqueue(tenant string, args jobs.Args, opts *jobs.EnqueueOptions) {
	s.Helper()
	_, err := s.q.Enqueue(s.as(tenant), args, opts)
	require.NoError(s, err)
}

func (s *stage) start(tenant string, f jobs.Flow) {
	s.Helper()
	_, err := s.q.Start(s.as(tenant), f)
	require.NoError(s, err)
}

// fill puts jobs into all states, in an order that makes it certain.
func (s *stage) fill() {
	for i, to := range []string{"ann@example.com", "bob@example.com", "<i>eve</i>@example.com"} {
		s.enqueue("acme", mail{To: to, Recipe: "fail"}, &jobs.EnqueueOptions{ID: fmt.Sprintf("dead-%d", i)})
	}
	s.enqueue("globex", render{task{Name: "balance", Recipe: "fail"}}, nil)
	s.enqueue("globex", render{task{Name: "retried", Recipe: "flaky"}}, &jobs.EnqueueOptions{ID: "retried", MaxAttempts: 5})
	s.enqueue("acme", mail{To: "kept"}, &jobs.EnqueueOptions{ID: "kept", Keep: time.Hour})
	pages := func(n int, recipe string) []jobs.Item {
		var items []jobs.Item
		for i := range n {
			items = append(items, jobs.Item{Args: fetch{task{Name: fmt.Sprintf("page %d", i+1)}}})
		}
		items[n-1].Args = fetch{task{Name: fmt.Sprintf("page %d", n), Recipe: recipe}}
		return items
	}
	report := jobs.Items(render{task{Name: "summary"}})
	s.start("acme", jobs.Flow{ID: "flow-done", Name: "Import of 28 November", Stages: [][]jobs.Item{pages(3, ""), report}})
	s.start("initech", jobs.Flow{ID: "flow-failed", Name: "Import of 27 November", Stages: [][]jobs.Item{pages(12, "fail"), report}, Policy: jobs.WaitAll})
	s.settled(jobs.Stats{Dead: 5, Scheduled: 1, Done: 1})

	s.start("acme", jobs.Flow{ID: "flow-runs", Name: "Import of 29 November", Stages: [][]jobs.Item{
		jobs.Items(fetch{task{Name: "index"}}), pages(5, "hang"), jobs.Items(render{task{Name: "first half"}}, render{task{Name: "second half"}}), jobs.Items(mail{To: "ann@example.com"}),
	}})
	s.settled(jobs.Stats{Dead: 5, Scheduled: 1, Done: 1, Running: 1})
	for _, tenant := range []string{"acme", "globex", "initech"} {
		s.enqueue(tenant, render{task{Name: "page 1,340 of the catalogue", Recipe: "hang"}}, &jobs.EnqueueOptions{ID: "running-" + tenant})
	}
	s.settled(jobs.Stats{Dead: 5, Scheduled: 1, Done: 1, Running: 4})
	for i := range 64 {
		s.enqueue([]string{"acme", "acme", "acme", "globex", "initech"}[i%5], mail{To: fmt.Sprintf("%d@example.com", i)}, nil)
	}
	for i := range 7 {
		s.enqueue("globex", mail{To: "later"}, &jobs.EnqueueOptions{Delay: time.Duration(i+1) * time.Hour})
	}
	require.NoError(s, s.q.SetLimit(s.Context(), jobs.Target{Tenant: "globex"}, jobs.Limit{Running: 2, Rate: 100, Per: time.Minute}))
	for i, spec := range []string{"@every 5m", "H H * * *", "0 6 1 * *", "0 8 * * 1#2"} {
		opts := &jobs.CronOptions{Zone: "Asia/Tokyo"}
		require.NoError(s, s.q.Schedule(s.as("acme"), fmt.Sprintf("monitor-%d", i+1), spec, mail{To: "monitor"}, opts))
	}
	require.NoError(s, s.q.PauseSchedule(s.as("acme"), "monitor-2"))
	require.Eventually(s, func() bool { // those in code are noted once the scheduler has run
		page, _, err := s.q.Schedules(s.Context(), "", 100)
		return err == nil && len(page) == 7
	}, time.Minute, 10*time.Millisecond)
}

// How long the browser's tests wait for the queue, and how often they look.
const (
	patience = time.Minute
	tick     = 10 * time.Millisecond
)
