package jobsui_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/jobsui"
)

// scheduled is a queue of n stored schedules, of which the third has a very long
// name. Most have fired, at all distances; the job of the first is dead, that of
// the second ready, and one in three has left none.
func scheduled(t *testing.T, n int) *jobs.Queue {
	t.Helper()
	d := jobstest.New(t)
	q, err := jobs.New(d, &jobs.Options{
		MaxAttempts: 1, Logger: slog.New(slog.DiscardHandler),
		Tenant:     func(ctx context.Context) (string, bool) { t, ok := ctx.Value(tenantKey{}).(string); return t, ok },
		WithTenant: func(ctx context.Context, t string) context.Context { return context.WithValue(ctx, tenantKey{}, t) },
	})
	require.NoError(t, err)
	specs := []string{"*/5 * * * *", "H H * * *", "0 6 1 * *", "@every 90s", "0 8 * * 1#2", "15,45 9-17 * * mon-fri"}
	zones := []string{"", "Europe/Berlin", "America/Argentina/Buenos_Aires"}
	for i := range n {
		name := fmt.Sprintf("monitor-%03d", i)
		if i == 2 {
			name = "monitor-002.customer-reports.quarterly.export_to_the_data_warehouse.region-eu-central-1.retained"
		}
		ctx := context.WithValue(t.Context(), tenantKey{}, []string{"acme", "globex", "a-tenant-with-quite-a-long-identifier"}[i%3])
		require.NoError(t, q.Schedule(ctx, name, specs[i%len(specs)], mail{To: name}, &jobs.CronOptions{Zone: zones[i%3]}))
	}
	page, _, err := q.Schedules(t.Context(), "", 500)
	require.NoError(t, err)
	last := map[string]time.Time{}
	for i, s := range page {
		if i%9 != 5 {
			last[s.ID] = time.Now().Add(-time.Duration(i*i+1) * 7 * time.Second)
		}
	}
	fireAll(t, d, last)
	page, _, err = q.Schedules(t.Context(), "", 500)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	jobs.Handle(q, func(context.Context, mail) error {
		cancel()
		return errors.New("421 too many connections")
	})
	for i, s := range page {
		if i == 1 {
			require.NoError(t, q.Run(ctx)) // the first one's dies
		}
		if s.LastJob != "" && i%3 < 2 {
			_, err := q.Enqueue(t.Context(), mail{To: s.Name}, &jobs.EnqueueOptions{ID: s.LastJob, NoTenant: true})
			require.NoError(t, err)
		}
	}
	return q
}

// fireAll makes schedules due and fires them, as if their last ticks had been
// those.
func fireAll(t *testing.T, d *jobstest.Driver, last map[string]time.Time) {
	t.Helper()
	put := func(key string, data []byte, in time.Duration) {
		for range 100 { // it is refused if this process was held up for so long
			now := time.Now()
			start := driver.Start{From: now.Add(-time.Second), Next: now.Add(in)}
			put, err := d.PutSchedule(t.Context(), driver.PutSchedule{Key: key, Data: data, Start: start})
			require.NoError(t, err)
			if put.Done {
				return
			}
			require.True(t, put.Stale)
		}
		t.Fatal("schedules are always stale")
	}
	var keys []string
	for key := range last {
		keys = append(keys, key)
	}
	found, err := d.FindSchedules(t.Context(), keys)
	require.NoError(t, err)
	for _, s := range found {
		put(s.Key, append(s.Data, ' '), time.Second)
	}
	fired, missed := 0, 0
	var failed error
	require.Eventually(t, func() bool {
		var claimed driver.Claimed
		claimed, failed = d.Claim(t.Context(), driver.Claim{Limit: driver.MaxBatch, Hold: time.Hour})
		for _, due := range claimed.Due {
			if _, ok := last[due.Key]; !ok {
				continue // by the clock of the day
			}
			tick := driver.DueTick{Key: due.Key, Tick: due.Tick, Next: due.Tick.Add(time.Hour), Last: last[due.Key], Job: &driver.Job{ID: "tick", Body: []byte("x")}}
			settled, err := d.FireDue(t.Context(), []driver.DueTick{tick})
			if failed = errors.Join(failed, err); err == nil && !settled[0].Fired {
				missed++
			}
			fired++
		}
		return failed != nil || fired == len(last)
	}, patience, tick)
	require.NoError(t, failed)
	require.Zero(t, missed)
	_, err = d.Resolve(t.Context(), []string{"tick"}, driver.Cancel)
	require.NoError(t, err)
	for _, s := range found {
		put(s.Key, s.Data, max(time.Until(s.Next), time.Hour)) // not due again in this test
	}
}

// What became of the last run is a click away, while its job is there.
func TestLastRun(t *testing.T) {
	t.Parallel()
	q := scheduled(t, 7)
	ui, err := jobsui.New(map[string]*jobs.Queue{"mail": q}, nil)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	ui.ServeHTTP(w, httptest.NewRequest("GET", "/mail/schedules", nil))
	rows := strings.Split(w.Body.String(), "<tr>")[2:]
	require.Len(t, rows, 7)
	page, _, err := q.Schedules(t.Context(), "", 100)
	require.NoError(t, err)
	states := map[jobs.State]int{}
	for _, row := range rows {
		for _, s := range page {
			if !strings.Contains(row, ">"+s.Name+"<") {
				continue
			}
			require.Equal(t, s.Last.IsZero(), strings.Contains(row, "none yet"), s.Name)
			found, err := q.Find(t.Context(), s.LastJob)
			require.NoError(t, err)
			require.Equal(t, len(found) == 1, strings.Contains(row, `href="job?id=`), s.Name)
			if len(found) == 1 {
				require.Contains(t, row, `class="chip `+string(found[0].State)+`"`)
				states[found[0].State]++
			}
		}
	}
	require.Equal(t, map[jobs.State]int{jobs.Dead: 1, jobs.Ready: 4}, states)
}
