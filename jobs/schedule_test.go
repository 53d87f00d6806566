package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

type scheduleTenant struct{}

func inTenant(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, scheduleTenant{}, id)
}

func tenantOf(ctx context.Context) (string, bool) {
	id, ok := ctx.Value(scheduleTenant{}).(string)
	return id, ok
}

func withTenants() *jobs.Options {
	return &jobs.Options{Tenant: tenantOf, WithTenant: inTenant, Logger: quiet}
}

// runs records which Mail ran when, and for whom.
type runs struct {
	mu   sync.Mutex
	list []string
}

func (r *runs) handle(q *jobs.Queue) {
	began := time.Now()
	jobs.Handle(q, func(ctx context.Context, m Mail) error {
		tenant, _ := tenantOf(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.list = append(r.list, fmt.Sprintf("%s/%s@%v", tenant, m.To, time.Since(began).Truncate(time.Second)))
		return nil
	})
}

// take answers what ran since it was asked last.
func (r *runs) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

func (b *bench) schedule(ctx context.Context, q *jobs.Queue, name, spec string, args jobs.Args, opts *jobs.CronOptions) {
	b.Helper()
	require.NoError(b, q.Schedule(ctx, name, spec, args, opts))
}

func TestScheduleOfTenants(t *testing.T) {
	bubble(t, withTenants(), func(b *bench) {
		ctx, acme, bolt := b.Context(), inTenant(b.Context(), "acme"), inTenant(b.Context(), "bolt")
		var r runs
		r.handle(b.q)
		other := b.queue(withTenants())
		r.handle(other)
		stop, stopOther := run(b, b.q), run(b, other)

		require.ErrorIs(b, b.q.Schedule(ctx, "check", "@every 1m", Mail{}, nil), jobs.ErrNoTenant)
		b.schedule(acme, b.q, "check", "@every 1m", Mail{To: "a"}, nil)
		b.schedule(bolt, b.q, "check", "@every 90s", Mail{To: "b"}, nil)
		b.schedule(acme, b.q, "ours", "@every 2m", Mail{To: "o"}, &jobs.CronOptions{NoTenant: true})
		b.sleep(3*time.Minute + time.Second)
		ran := r.take()
		slices.Sort(ran)
		require.Equal(b, []string{"/o@2m0s", "acme/a@1m0s", "acme/a@2m0s", "acme/a@3m0s", "bolt/b@1m30s", "bolt/b@3m0s"}, ran)

		n, err := b.q.Unschedule(bolt, "ours", "none")
		require.NoError(b, err)
		require.Zero(b, n)
		n, err = b.q.Unschedule(acme, "check")
		require.NoError(b, err)
		require.Equal(b, 1, n)
		b.sleep(time.Minute)
		require.Equal(b, []string{"/o@4m0s"}, r.take())
		b.sleep(30 * time.Second)
		require.Equal(b, []string{"bolt/b@4m30s"}, r.take(), "the other tenant's goes on")
		require.NoError(b, stop())
		b.sleep(90 * time.Second)
		ran = r.take()
		slices.Sort(ran)
		require.Equal(b, []string{"/o@6m0s", "bolt/b@6m0s"}, ran, "the other process goes on")
		require.NoError(b, stopOther())
	})
}

// A tenant's id may have blanks, and then look like the beginning of a name.
func TestTenantReachesItsOwnSchedulesOnly(t *testing.T) {
	bubble(t, withTenants(), func(b *bench) {
		short, long := inTenant(b.Context(), "acme"), inTenant(b.Context(), "acme x")
		b.schedule(long, b.q, "y", "@hourly", Mail{To: "secret"}, nil)
		b.schedule(short, b.q, "y", "@hourly", Mail{}, nil)
		require.NoError(b, b.q.Cron("code", "@hourly", Mail{}, nil))
		stop := run(b, b.q)
		b.sleep(time.Second)
		for _, name := range []string{"x y", "acme x y", " y", "code", "", "acme x", strings.Repeat("x", 200)} {
			_, err := b.q.RunNow(short, name)
			require.ErrorIs(b, err, jobs.ErrNoSchedule, name)
			require.ErrorIs(b, b.q.PauseSchedule(short, name), jobs.ErrNoSchedule, name)
			require.ErrorIs(b, b.q.ResumeSchedule(short, name), jobs.ErrNoSchedule, name)
			n, err := b.q.Unschedule(short, name)
			require.NoError(b, err)
			require.Zero(b, n, name)
		}
		page, next, err := b.q.Schedules(short, "", 100)
		require.NoError(b, err)
		require.Empty(b, next)
		require.Len(b, page, 1)
		require.Equal(b, "acme", page[0].Tenant)
		_, err = b.q.RunNow(short, page[0].ID)
		require.NoError(b, err, "its own id")

		page, _, err = b.q.Schedules(b.Context(), "", 100)
		require.NoError(b, err)
		require.Len(b, page, 3, "an operator sees all")
		for _, s := range page {
			require.NoError(b, b.q.PauseSchedule(b.Context(), s.ID), "and reaches all")
		}
		require.NoError(b, stop())
	})
}

func TestScheduleIsChangedWhileItIsDue(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		ctx := b.Context()
		var r runs
		r.handle(b.q)
		// The process that took the tick is stuck between claim and fire.
		stuck := &stuckDriver{Driver: b.d, held: make(chan struct{})}
		q, err := jobs.New(stuck, &jobs.Options{Concurrency: -1, Logger: quiet})
		require.NoError(b, err)
		for _, name := range []string{"same", "changed", "dropped", "paused"} {
			b.schedule(ctx, b.q, name, "@every 1m", Mail{To: name}, nil)
		}
		stopStuck := run(b, q)
		b.sleep(time.Minute + time.Second)
		require.Empty(b, r.take())
		b.schedule(ctx, b.q, "same", "@every 1m", Mail{To: "same"}, nil)
		b.schedule(ctx, b.q, "changed", "@every 1m", Mail{To: "new"}, nil)
		_, err = b.q.Unschedule(ctx, "dropped")
		require.NoError(b, err)
		require.NoError(b, b.q.PauseSchedule(ctx, "paused"))

		close(stuck.held) // it wakes up and fires what is left of its ticks
		stop := run(b, b.q)
		b.sleep(time.Second)
		require.Equal(b, []string{"/same@1m1s"}, r.take())
		require.NoError(b, b.q.ResumeSchedule(ctx, "paused"))
		b.sleep(time.Minute)
		ran := r.take()
		slices.Sort(ran)
		require.Equal(b, []string{"/new@2m0s", "/paused@2m0s", "/same@2m0s"}, ran)
		require.NoError(b, stopStuck())
		require.NoError(b, stop())
	})
}

// stuckDriver fires nothing until held is closed.
type stuckDriver struct {
	*jobstest.Driver
	held chan struct{}
}

func (d *stuckDriver) FireDue(ctx context.Context, ticks []driver.DueTick) ([]driver.FiredTick, error) {
	<-d.held
	return d.Driver.FireDue(ctx, ticks)
}

// dyingDriver claims and never fires.
type dyingDriver struct{ *jobstest.Driver }

func (d dyingDriver) FireDue(context.Context, []driver.DueTick) ([]driver.FiredTick, error) {
	return nil, errDown
}

func TestTicksOutliveTheProcessThatTookThem(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var r runs
		r.handle(b.q)
		b.schedule(b.Context(), b.q, "minute", "@every 1m", Mail{To: "m"}, nil)
		dying, err := jobs.New(dyingDriver{b.d}, &jobs.Options{Concurrency: -1, Logger: quiet})
		require.NoError(b, err)
		stop := run(b, dying)
		b.sleep(time.Minute + 500*time.Millisecond)
		require.NoError(b, stop())
		stop = run(b, b.q)
		b.sleep(5 * time.Second)
		require.Empty(b, r.take(), "still claimed")
		b.sleep(7 * time.Second)
		require.Len(b, r.take(), 1)
		b.sleep(48 * time.Second)
		require.Equal(b, []string{"/m@2m0s"}, r.take())
		require.NoError(b, stop())
	})
}

func TestScheduleOutlivesAnOutage(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var r runs
		r.handle(b.q)
		stop := run(b, b.q)
		b.schedule(b.Context(), b.q, "minute", "* * * * *", Mail{To: "m"}, nil)
		b.schedule(b.Context(), b.q, "all", "* * * * *", Mail{To: "all"}, &jobs.CronOptions{CatchUp: jobs.CatchUpAll})
		b.schedule(b.Context(), b.q, "skip", "*/5 * * * *", Mail{To: "skip"}, &jobs.CronOptions{CatchUp: jobs.CatchUpSkip})
		b.sleep(time.Second)
		b.d.Fail(jobstest.OpSchedule, errDown)
		b.sleep(8*time.Minute - time.Second)
		require.Empty(b, r.take())
		b.d.Fail(jobstest.OpSchedule, nil)
		b.d.LoseReply(jobstest.OpSchedule, errors.New("connection reset"), errors.New("connection reset"))
		b.sleep(20 * time.Second)
		counts := map[string]int{}
		for _, text := range r.take() {
			who, _, _ := strings.Cut(text, "@")
			counts[who]++
		}
		require.Equal(b, map[string]int{"/m": 1, "/all": 8}, counts)
		require.NoError(b, stop())
	})
}

// Each tick of a backlog is only known when the one before has been fired.
func TestStoredScheduleCatchesUpAtOnce(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var r runs
		r.handle(b.q)
		b.schedule(b.Context(), b.q, "second", "@every 1s", Mail{To: "s"}, &jobs.CronOptions{CatchUp: jobs.CatchUpAll})
		b.sleep(time.Minute + 500*time.Millisecond)
		stop := run(b, b.q)
		b.sleep(time.Millisecond)
		require.Len(b, r.take(), 60)
		b.sleep(time.Second)
		require.Len(b, r.take(), 1, "and is on time from then on")
		require.NoError(b, stop())
	})
}

func TestNoOverlap(t *testing.T) {
	for _, inCode := range []bool{true, false} {
		t.Run(fmt.Sprint("in code ", inCode), func(t *testing.T) {
			seen := &spy{}
			bubble(t, &jobs.Options{Metrics: seen}, func(b *bench) {
				starts := 0
				release := make(chan struct{})
				jobs.Handle(b.q, func(context.Context, Note) error {
					starts++
					<-release
					return nil
				})
				add := b.q.Cron
				if !inCode {
					add = func(name, spec string, args jobs.Args, opts *jobs.CronOptions) error {
						return b.q.Schedule(b.Context(), name, spec, args, opts)
					}
				}
				require.NoError(b, add("slow", "@every 1m", Note{}, &jobs.CronOptions{NoOverlap: true}))
				stop := run(b, b.q)
				b.sleep(5*time.Minute + time.Second)
				require.Equal(b, 1, starts)
				require.InDelta(b, 4, seen.counts["jobs.duplicate"], 0)
				receipt, err := b.q.RunNow(b.Context(), "slow")
				require.NoError(b, err)
				require.True(b, receipt.Duplicate)
				close(release)
				b.sleep(time.Minute)
				require.Equal(b, 2, starts)
				require.NoError(b, stop())
			})
		})
	}
}

// Hourly is a kind with a policy of its own.
type Hourly struct{}

func (Hourly) Kind() string { return "hourly" }

func (Hourly) JobOptions() jobs.EnqueueOptions {
	return jobs.EnqueueOptions{Key: "all", Scope: jobs.UniqueFor, Window: time.Hour}
}

// The key of NoOverlap is held until the job is done, whatever its type says.
func TestNoOverlapOfAKindWithAPolicy(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var ran atomic.Int64
		jobs.Handle(b.q, func(context.Context, Hourly) error { ran.Add(1); return nil })
		b.schedule(b.Context(), b.q, "stored", "@every 1m", Hourly{}, &jobs.CronOptions{NoOverlap: true})
		require.NoError(b, b.q.Cron("in-code", "@every 1m", Hourly{}, &jobs.CronOptions{NoOverlap: true}))
		b.schedule(b.Context(), b.q, "its-own-key", "@every 1m", Hourly{}, nil)
		stop := run(b, b.q)
		b.sleep(5*time.Minute + time.Second)
		require.EqualValues(b, 5+5+1, ran.Load())
		require.NoError(b, stop())
	})
}

func TestJitterSpreads(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var r runs
		r.handle(b.q)
		opts := &jobs.CronOptions{Jitter: 10 * time.Minute}
		for i := range 20 {
			name := fmt.Sprint("n", i)
			require.NoError(b, b.q.Cron(name, "@hourly", Mail{To: "code-" + name}, opts))
			b.schedule(b.Context(), b.q, "s"+name, "@hourly", Mail{To: "stored-" + name}, opts)
		}
		stop := run(b, b.q)
		b.sleep(time.Hour - time.Millisecond)
		require.Empty(b, r.take(), "never early")
		b.sleep(10 * time.Minute)
		first := r.take()
		require.Len(b, first, 40)
		times := map[string]bool{}
		for _, text := range first {
			_, at, _ := strings.Cut(text, "@")
			times[at] = true
		}
		require.Greater(b, len(times), 25, "%v", first)
		b.sleep(time.Hour)
		require.Len(b, r.take(), 40)
		require.NoError(b, stop())
	})
}

func TestRunNowWithoutTheCode(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var r runs
		r.handle(b.q)
		require.NoError(b, b.q.Cron("daily", "0 6 * * *", Mail{To: "m"}, &jobs.CronOptions{Zone: "Europe/Berlin"}))
		stop := run(b, b.q)
		b.sleep(6 * time.Hour)
		require.Len(b, r.take(), 1)
		operator := b.queue(nil)
		page, _, err := operator.Schedules(b.Context(), "", 10)
		require.NoError(b, err)
		require.Len(b, page, 1)
		s := page[0]
		require.Equal(b, "daily", s.Name)
		require.True(b, s.InCode)
		require.Equal(b, "mail.send", s.Kind)
		require.JSONEq(b, `{"to":"m"}`, string(s.Args))
		require.Equal(b, time.Date(2000, 1, 1, 5, 0, 0, 0, time.UTC), s.Last)
		require.WithinDuration(b, time.Now(), s.Seen, time.Hour+time.Second)
		next, err := s.Next(time.Date(2000, 3, 25, 0, 0, 0, 0, time.UTC), 2)
		require.NoError(b, err)
		require.Equal(b, []time.Time{time.Date(2000, 3, 25, 5, 0, 0, 0, time.UTC), time.Date(2000, 3, 26, 4, 0, 0, 0, time.UTC)}, next)

		_, err = operator.RunNow(b.Context(), "daily")
		require.NoError(b, err)
		b.sleep(time.Second)
		require.Len(b, r.take(), 1)

		require.NoError(b, operator.PauseSchedule(b.Context(), "daily"))
		b.sleep(24 * time.Hour)
		require.Empty(b, r.take())
		require.NoError(b, operator.ResumeSchedule(b.Context(), "daily"))
		b.sleep(24 * time.Hour)
		require.Len(b, r.take(), 1)
		require.NoError(b, stop())
	})
}

// While a deployment rolls, two versions run under one name.
func TestTwoVersionsOfASchedule(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var k ticker
		k.handle(b.q)
		other := b.queue(nil)
		k.handle(other)
		require.NoError(b, b.q.Cron("report", "0 * * * *", Note{}, nil))
		require.NoError(b, other.Cron("report", "0,30 * * * *", Note{}, nil))
		stop, stopOther := run(b, b.q), run(b, other)
		b.sleep(3*time.Hour + time.Second)
		require.NoError(b, stop())
		require.NoError(b, stopOther())
		require.Len(b, k.ticks, 6)
		slices.Sort(k.ticks)
		require.Len(b, slices.Compact(k.ticks), 6)
	})
}

func TestScheduleErrors(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		ctx := b.Context()
		require.NoError(b, b.q.Cron("code", "@hourly", Note{}, nil))
		for name, tt := range map[string]struct {
			spec string
			args jobs.Args
			opts *jobs.CronOptions
			want string
		}{
			"":                       {"@daily", Note{}, nil, "schedule name"},
			strings.Repeat("x", 100): {"@daily", Note{}, nil, "longer than 96"},
			"code":                   {"@daily", Note{}, nil, "is in code"},
			"a":                      {"61 * * * *", Note{}, nil, "schedule a: field 1 (minute)"},
			"b":                      {"@daily", Note{}, &jobs.CronOptions{Zone: "Mars/Base"}, "Mars/Base"},
			"c":                      {"@daily", Note{}, &jobs.CronOptions{Jitter: -1}, "Jitter"},
			"d":                      {"@daily", Note{}, &jobs.CronOptions{Priority: 9}, "Priority"},
			"e":                      {"@daily", nil, nil, "args are nil"},
			"f g":                    {"@daily", Note{}, nil, "characters"},
		} {
			require.ErrorContains(b, b.q.Schedule(ctx, name, tt.spec, tt.args, tt.opts), tt.want)
		}
		_, err := b.q.RunNow(ctx, "none")
		require.ErrorIs(b, err, jobs.ErrNoSchedule)
		_, _, err = b.q.Schedules(ctx, "", 0)
		require.ErrorContains(b, err, "limit")

		plain, err := jobs.New(struct{ driver.Driver }{b.d}, nil)
		require.NoError(b, err)
		require.ErrorIs(b, plain.Schedule(ctx, "a", "@daily", Note{}, nil), errors.ErrUnsupported)
		_, err = jobs.Schedule{Name: "a", Spec: "x"}.Next(time.Now(), 1)
		require.ErrorContains(b, err, "fields")
	})
}

// A store that has what this version cannot read does not stop the rest.
func TestUnreadableSchedules(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var r runs
		r.handle(b.q)
		start := driver.Start{From: time.Now(), Next: time.Now().Add(time.Second)}
		for key, data := range map[string]string{
			" newer": `{"v":1,"s":"@every 1s","k":"mail.send"}`, " garbage": "{", " spec": `{"s":"@never","k":"mail.send"}`,
			" zone": `{"s":"@daily","k":"mail.send","z":"Mars/Base"}`, " kind": `{"s":"@every 1s","k":"not a kind","a":{}}`,
			" sealed": `{"s":"@every 1s","k":"mail.send","e":"AAAA"}`,
		} {
			_, err := b.d.PutSchedule(b.Context(), driver.PutSchedule{Key: key, Data: []byte(data), Start: start})
			require.NoError(b, err)
			_, err = b.q.RunNow(b.Context(), key)
			require.Error(b, err, key)
		}
		b.schedule(b.Context(), b.q, "good", "@every 1s", Mail{To: "good"}, nil)
		stop := run(b, b.q)
		b.sleep(30*time.Second + time.Millisecond)
		require.Len(b, r.take(), 30)
		page, _, err := b.q.Schedules(b.Context(), "", 100)
		require.NoError(b, err)
		require.Len(b, page, 7, "they are listed")
		require.NoError(b, stop())
	})
}

// A process with a wrong clock must neither skip a tick nor fire a past one.
func TestScheduleWithAWrongClock(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, -3 * time.Second, 3 * time.Second, time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			bubble(t, nil, func(b *bench) {
				jobs.SetClock(b.q, func() time.Time { return time.Now().Add(skew) })
				for i := range 65 {
					name := fmt.Sprint("n", i)
					b.schedule(b.Context(), b.q, name, "* * * * *", Note{}, nil)
					found, err := b.d.FindSchedules(b.Context(), []string{" " + name})
					require.NoError(b, err)
					require.Equal(b, time.Now().Truncate(time.Minute).Add(time.Minute).UTC(), found[0].Next)
					b.sleep(time.Second)
				}
			})
		})
	}
}
