package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// graveyard is a queue with n dead notes, each of which dies whenever it runs.
func graveyard(t *testing.T, n int, opts *jobs.Options, f func(b *bench)) {
	bubble(t, opts, func(b *bench) {
		jobs.Handle(b.q, func(_ context.Context, n Note) error { return jobs.Discard(fmt.Errorf("no: %d", n.N%2)) })
		ctx := b.Context()
		if opts != nil && opts.Tenant != nil {
			ctx = inTenant(ctx, "acme")
		}
		items := make([]jobs.Item, n)
		for i := range items {
			items[i] = jobs.Item{Args: Note{N: i}}
		}
		_, err := b.q.EnqueueMany(ctx, items)
		require.NoError(b, err)
		stop := run(b, b.q)
		b.sleep(time.Minute)
		require.NoError(b, stop())
		b.stats(jobs.Stats{Dead: n})
		f(b)
	})
}

func TestRequeueAllTakesEachOnceWhileTheyDieAgain(t *testing.T) {
	graveyard(t, 1300, nil, func(b *bench) {
		stop := run(b, b.q) // what is requeued is dead again before the next step
		var steps []jobs.Bulk
		got, err := b.q.RequeueAll(b.Context(), jobs.Filter{State: jobs.Dead, Error: "no: 1"}, &jobs.BulkOptions{
			Progress: func(p jobs.Bulk) {
				steps = append(steps, p)
				b.sleep(time.Second)
			},
		})
		require.NoError(b, err)
		require.NoError(b, stop())
		require.Equal(b, jobs.Bulk{Found: 650, Changed: 650}, got)
		require.Len(b, steps, 5, "1,300 are looked at in three steps, 650 changed in two")
		require.Equal(b, []jobs.Bulk{{Found: 650}, {Found: 650, Changed: 500}, got}, steps[2:])
		b.stats(jobs.Stats{Dead: 1300})
	})
}

// rash is a store that does not look again before it changes a job.
type rash struct{ *jobstest.Driver }

func (r rash) ResolveMatching(ctx context.Context, ids []string, _ driver.Filter, how driver.Resolution) (int, error) {
	return r.Resolve(ctx, ids, how)
}

func TestAllButTheOnesThatMovedOn(t *testing.T) {
	try := func(b *bench, d driver.Driver) (got jobs.Bulk, notes int) {
		q, err := jobs.New(d, &jobs.Options{Logger: quiet})
		require.NoError(b, err)
		got, err = q.CancelAll(b.Context(), jobs.Filter{State: jobs.Scheduled, Kind: "note"}, &jobs.BulkOptions{
			Progress: func(p jobs.Bulk) {
				if p.Changed+p.Skipped == 0 { // found and not cancelled yet: a person wants some of them now
					_, err := q.Requeue(b.Context(), "0", "1", "2")
					require.NoError(b, err)
				}
			},
		})
		require.NoError(b, err)
		left, err := q.Count(b.Context(), jobs.Filter{State: jobs.Ready, Kind: "note"})
		require.NoError(b, err)
		b.stats(jobs.Stats{Ready: left, Scheduled: 1})
		return got, left
	}
	for name, test := range map[string]struct {
		wrap func(*jobstest.Driver) driver.Driver
		left int
	}{
		"as it should be": {func(d *jobstest.Driver) driver.Driver { return d }, 3},
		"planted fault":   {func(d *jobstest.Driver) driver.Driver { return rash{d} }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(b *bench) {
				for i := range 10 {
					b.enqueue(Note{N: i}, &jobs.EnqueueOptions{ID: fmt.Sprint(i), Delay: time.Hour})
				}
				b.enqueue(Mail{}, &jobs.EnqueueOptions{Delay: time.Hour})
				got, left := try(b, test.wrap(b.d))
				require.Equal(b, test.left, left, "notes that a person made ready")
				require.Equal(b, jobs.Bulk{Found: 10, Changed: 10 - test.left, Skipped: test.left}, got)
			})
		})
	}
}

func TestBulkStaysWithinItsTenant(t *testing.T) {
	graveyard(t, 4, withTenants(), func(b *bench) {
		acme, globex, dead := inTenant(b.Context(), "acme"), inTenant(b.Context(), "globex"), jobs.Filter{State: jobs.Dead}
		all := &jobs.BulkOptions{AllTenants: true}
		of := func(tenant string) jobs.Filter { return jobs.Filter{State: jobs.Dead, Tenant: tenant} }
		for name, try := range map[string]func() (jobs.Bulk, error){
			"another tenant":                 func() (jobs.Bulk, error) { return b.q.DeleteAll(globex, dead, all) },
			"another tenant, by name":        func() (jobs.Bulk, error) { return b.q.DeleteAll(globex, of("acme"), all) },
			"its own name for another's job": func() (jobs.Bulk, error) { return b.q.RequeueAll(globex, of("globex"), nil) },
			"an operator, for another":       func() (jobs.Bulk, error) { return b.q.DeleteAll(b.Context(), of("globex"), nil) },
		} {
			got, err := try()
			require.NoError(b, err, name)
			require.Zero(b, got, name)
		}
		_, err := b.q.DeleteAll(b.Context(), dead, nil)
		require.ErrorIs(b, err, jobs.ErrNoTenant)
		n, err := b.q.Count(globex, dead)
		require.NoError(b, err)
		require.Zero(b, n)
		n, err = b.q.Count(acme, dead)
		require.NoError(b, err)
		require.Equal(b, 4, n)
		b.stats(jobs.Stats{Dead: 4})

		got, err := b.q.RequeueAll(acme, dead, nil)
		require.NoError(b, err)
		require.Equal(b, jobs.Bulk{Found: 4, Changed: 4}, got)
		got, err = b.q.CancelAll(b.Context(), jobs.Filter{State: jobs.Ready, Tenant: "acme"}, nil)
		require.NoError(b, err)
		require.Equal(b, 4, got.Changed)
	})
}

func TestBulkOfAllTenantsIsSaid(t *testing.T) {
	graveyard(t, 2, withTenants(), func(b *bench) {
		got, err := b.q.DeleteAll(b.Context(), jobs.Filter{State: jobs.Dead}, &jobs.BulkOptions{AllTenants: true})
		require.NoError(b, err)
		require.Equal(b, 2, got.Changed)
	})
}

func TestBulkEndsWithItsContextAndWithAnError(t *testing.T) {
	graveyard(t, 1200, nil, func(b *bench) {
		dead := jobs.Filter{State: jobs.Dead}
		ctx, cancel := context.WithCancel(b.Context())
		got, err := b.q.RequeueAll(ctx, dead, &jobs.BulkOptions{Progress: func(p jobs.Bulk) {
			if p.Changed > 0 {
				cancel()
			}
		}})
		require.ErrorIs(b, err, context.Canceled)
		require.Equal(b, jobs.Bulk{Found: 1200, Changed: 500}, got)
		b.stats(jobs.Stats{Ready: 500, Dead: 700})

		broken := errors.New("broken")
		b.d.FailNext(jobstest.OpResolve, broken)
		got, err = b.q.DeleteAll(b.Context(), dead, nil)
		require.ErrorIs(b, err, broken)
		require.Equal(b, jobs.Bulk{Found: 700}, got)
		b.d.FailNext(jobstest.OpInspect, broken)
		_, err = b.q.Count(b.Context(), jobs.Filter{State: jobs.Dead, Kind: "note"})
		require.ErrorIs(b, err, broken)
		b.stats(jobs.Stats{Ready: 500, Dead: 700})
	})
}

func TestBulkIsForTheStatesOfItsAction(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		b.enqueue(Note{}, nil)
		for _, bulk := range []func(context.Context, jobs.Filter, *jobs.BulkOptions) (jobs.Bulk, error){b.q.RequeueAll, b.q.DeleteAll} {
			for _, state := range []jobs.State{"", "nonsense", jobs.Ready, jobs.Running} {
				_, err := bulk(b.Context(), jobs.Filter{State: state}, nil)
				require.ErrorContains(b, err, string(state))
			}
		}
		_, err := b.q.CancelAll(b.Context(), jobs.Filter{State: jobs.Dead}, nil)
		require.Error(b, err)
		_, err = b.q.Count(b.Context(), jobs.Filter{Kind: "note"})
		require.Error(b, err)
		_, err = b.q.Count(b.Context(), jobs.Filter{})
		require.Error(b, err)
		synctest.Wait()
		b.stats(jobs.Stats{Ready: 1})
	})
}
