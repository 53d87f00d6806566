package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

// estate is what acme has in a queue that globex works with, too: a job of each
// kind of state and two flows.
type estate struct {
	*bench
	acme, globex, operator context.Context
	done, dead, later      string
	flow, ended            string
}

func inEstate(t *testing.T, f func(e *estate)) {
	bubble(t, withTenants(), func(b *bench) {
		e := &estate{bench: b, acme: inTenant(b.Context(), "acme"), globex: inTenant(b.Context(), "globex"), operator: b.Context()}
		jobs.HandleResult(b.q, func(_ context.Context, n Note) (string, error) {
			if n.N < 0 {
				return "", jobs.Discard(errors.New("negative"))
			}
			return fmt.Sprint("secret ", n.N), nil
		})
		put := func(n int, opts jobs.EnqueueOptions) string {
			r, err := b.q.Enqueue(e.acme, Note{N: n}, &opts)
			require.NoError(b, err)
			return r.ID
		}
		start := func(items ...jobs.Item) string {
			r, err := b.q.Start(e.acme, jobs.Flow{Stages: [][]jobs.Item{items}})
			require.NoError(b, err)
			return r.ID
		}
		e.done = put(1, jobs.EnqueueOptions{Keep: time.Hour})
		e.dead = put(-1, jobs.EnqueueOptions{})
		e.ended = start(jobs.Items(Note{N: 2})...)
		stop := run(b, b.q)
		b.sleep(time.Second)
		require.NoError(b, stop())
		e.later = put(3, jobs.EnqueueOptions{Delay: time.Hour})
		e.flow = start(jobs.Item{Args: Note{N: 4}, Options: &jobs.EnqueueOptions{Delay: time.Hour}})
		f(e)
	})
}

func TestTenantReadsItsOwnJobsOnly(t *testing.T) {
	inEstate(t, func(e *estate) {
		_, err := jobs.Result[string](e.globex, e.q, e.done)
		require.ErrorIs(e, err, jobs.ErrNotFound)
		_, err = jobs.Await[string](e.globex, e.q, e.later)
		require.ErrorIs(e, err, jobs.ErrNotFound, "and it does not wait")
		_, err = jobs.Outputs[string](e.globex, e.q, e.ended)
		require.ErrorIs(e, err, jobs.ErrNotFound)
		_, err = e.q.Flow(e.globex, e.flow)
		require.ErrorIs(e, err, jobs.ErrNotFound)
		members, err := e.q.FlowJobs(e.globex, e.ended, 0, 0, 10)
		require.NoError(e, err)
		require.Empty(e, members)
		found, err := e.q.Find(e.globex, e.done, e.dead, e.later)
		require.NoError(e, err)
		require.Empty(e, found)

		for _, ctx := range []context.Context{e.acme, e.operator} {
			secret, err := jobs.Await[string](ctx, e.q, e.done)
			require.NoError(e, err)
			require.Equal(e, "secret 1", secret)
			secrets, err := jobs.Outputs[string](ctx, e.q, e.ended)
			require.NoError(e, err)
			require.Equal(e, []string{"secret 2"}, secrets)
			_, err = e.q.Flow(ctx, e.flow)
			require.NoError(e, err)
			members, err := e.q.FlowJobs(ctx, e.ended, 0, 0, 10)
			require.NoError(e, err)
			require.Len(e, members, 1)
			found, err := e.q.Find(ctx, e.done, e.dead, e.later)
			require.NoError(e, err)
			require.Len(e, found, 3)
		}
	})
}

func TestTenantChangesItsOwnJobsOnly(t *testing.T) {
	inEstate(t, func(e *estate) {
		count := func(n int, err error) int {
			e.Helper()
			require.NoError(e, err)
			return n
		}
		cancelled := func(ctx context.Context) bool {
			e.Helper()
			ok, err := e.q.CancelFlow(ctx, e.flow)
			require.NoError(e, err)
			return ok
		}
		before, err := e.q.Stats(e.operator)
		require.NoError(e, err)
		require.Zero(e, count(e.q.Cancel(e.globex, e.later)))
		require.Zero(e, count(e.q.Requeue(e.globex, e.dead, e.later)))
		require.Zero(e, count(e.q.Delete(e.globex, e.dead, e.done)))
		require.False(e, cancelled(e.globex))
		e.stats(before)

		require.True(e, cancelled(e.acme))
		require.Equal(e, 1, count(e.q.Requeue(e.acme, e.dead)))
		require.Equal(e, 1, count(e.q.Delete(e.acme, e.done, "unknown")))
		require.Equal(e, 1, count(e.q.Cancel(e.operator, e.later)))
	})
}

func TestTenantListsItsOwnJobsOnly(t *testing.T) {
	inEstate(t, func(e *estate) {
		for n := range 1200 { // more than two pages
			ctx := e.acme
			if n%100 == 99 {
				ctx = e.globex
			}
			_, err := e.q.Enqueue(ctx, Mail{To: fmt.Sprint(n)}, nil)
			require.NoError(e, err)
		}
		args := func(page []jobs.Entry, err error) (to []string) {
			e.Helper()
			require.NoError(e, err)
			for _, entry := range page {
				require.Equal(e, "globex", entry.Info.Tenant)
				to = append(to, string(entry.Args))
			}
			return to
		}
		all := args(e.q.List(e.globex, jobs.Ready, 0, 500))
		require.Len(e, all, 12)
		require.Equal(e, all[5:9], args(e.q.List(e.globex, jobs.Ready, 5, 4)), "the offset counts its own")
		require.Empty(e, args(e.q.List(e.globex, jobs.Ready, 12, 4)))
		require.Empty(e, args(e.q.List(e.globex, jobs.Dead, 0, 4)))
		_, err := e.q.List(e.globex, jobs.Ready, 0, 501)
		require.Error(e, err)

		found, next, err := e.q.Search(e.globex, jobs.Filter{State: jobs.Ready}, 0, 500)
		require.Equal(e, all, args(found, err))
		require.Negative(e, next)
		found, next, err = e.q.Search(e.globex, jobs.Filter{State: jobs.Ready, Tenant: "acme"}, 0, 500)
		require.Empty(e, args(found, err))
		require.Negative(e, next)
		entries, err := e.q.List(e.operator, jobs.Ready, 0, 500)
		require.NoError(e, err)
		require.Len(e, entries, 500, "an operator sees all")

		flows, err := e.q.Flows(e.globex, 0, 10)
		require.NoError(e, err)
		require.Empty(e, flows)
		flows, err = e.q.Flows(e.acme, 1, 10)
		require.NoError(e, err)
		require.Len(e, flows, 1)
	})
}

// A job that belongs to no tenant is an operator's.
func TestTenantDoesNotReachJobsOfNoTenant(t *testing.T) {
	inEstate(t, func(e *estate) {
		r, err := e.q.Enqueue(e.acme, Note{}, &jobs.EnqueueOptions{NoTenant: true})
		require.NoError(e, err)
		n, err := e.q.Cancel(e.acme, r.ID)
		require.NoError(e, err)
		require.Zero(e, n)
		n, err = e.q.Cancel(e.operator, r.ID)
		require.NoError(e, err)
		require.Equal(e, 1, n)
	})
}

func TestTenantsCannotTakeEachOthersIDs(t *testing.T) {
	inEstate(t, func(e *estate) {
		before, err := e.q.Stats(e.operator)
		require.NoError(e, err)
		_, err = e.q.Enqueue(e.globex, Note{}, &jobs.EnqueueOptions{ID: e.later})
		require.ErrorIs(e, err, jobs.ErrIDTaken)
		_, err = e.q.Start(e.globex, jobs.Flow{ID: e.flow, Stages: [][]jobs.Item{jobs.Items(Note{})}})
		require.ErrorIs(e, err, jobs.ErrIDTaken)
		e.stats(before)

		again, err := e.q.Enqueue(e.acme, Note{}, &jobs.EnqueueOptions{ID: e.later})
		require.NoError(e, err, "a repeated enqueue")
		require.Equal(e, jobs.Receipt{ID: e.later}, again)
		flow, err := e.q.Start(e.acme, jobs.Flow{ID: e.flow, Stages: [][]jobs.Item{jobs.Items(Note{})}})
		require.NoError(e, err)
		require.True(e, flow.Duplicate)
		e.stats(before)

		receipts, err := e.q.EnqueueMany(e.globex, []jobs.Item{
			{Args: Note{}, Options: &jobs.EnqueueOptions{ID: "mine"}},
			{Args: Note{}, Options: &jobs.EnqueueOptions{ID: e.later}},
			{Args: Note{}, Options: &jobs.EnqueueOptions{ID: "mine-too"}},
		})
		require.ErrorIs(e, err, jobs.ErrIDTaken)
		require.Equal(e, []jobs.Receipt{{ID: "mine"}, {}, {ID: "mine-too"}}, receipts)
		before.Ready += 2
		e.stats(before)
	})
}

// A tenant that somebody forgot to fill in is not all of them.
func TestTargetMustSayWhatItIsFor(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		for _, target := range []jobs.Target{{Tenant: ""}, {Queue: true, Tenant: "acme"}, {NoTenant: true, Kind: "note"}} {
			require.Error(b, b.q.Pause(b.Context(), target))
			require.Error(b, b.q.Resume(b.Context(), target))
			require.Error(b, b.q.SetLimit(b.Context(), target, jobs.Limit{Running: 1}))
		}
		control, err := b.q.Control(b.Context())
		require.NoError(b, err)
		require.Empty(b, control.PausedTenants)
		require.False(b, control.Paused)
		require.NoError(b, b.q.Pause(b.Context(), jobs.Target{Queue: true}))
		require.NoError(b, b.q.Pause(b.Context(), jobs.Target{NoTenant: true}))
		control, err = b.q.Control(b.Context())
		require.NoError(b, err)
		require.True(b, control.Paused)
		require.Equal(b, []string{""}, control.PausedTenants)
	})
}
