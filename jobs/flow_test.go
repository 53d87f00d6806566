package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// start starts a flow that must be accepted.
func (b *bench) start(f jobs.Flow) string {
	b.Helper()
	r, err := b.q.Start(b.Context(), f)
	require.NoError(b, err)
	require.False(b, r.Duplicate)
	return r.ID
}

func (b *bench) drain() {
	b.Helper()
	jobstest.Drain(b, b.d, b.q)
}

func TestFlowHandsResultsOn(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.HandleResult(b.q, func(_ context.Context, n Note) (int, error) { return n.N * 10, nil })
		var got []int
		jobs.Handle(b.q, func(ctx context.Context, m Mail) (err error) {
			info, _ := jobs.InfoFrom(ctx)
			if info.Flow != "flow.1" {
				b.Error("the flow is", info.Flow)
			}
			got, err = jobs.Inputs[int](ctx)
			return err
		})
		many := make([]jobs.Args, 1200) // three pages
		for i := range many {
			many[i] = Note{N: i}
		}
		id := b.start(jobs.Flow{ID: "flow.1", Name: "sum", Stages: [][]jobs.Item{jobs.Items(many...), jobs.Items(Mail{})}})
		require.Equal(b, "flow.1", id)
		_, err := jobs.Outputs[int](b.Context(), b.q, id)
		require.ErrorIs(b, err, jobs.ErrPending)
		b.drain()
		require.Len(b, got, 1200)
		for i, n := range got {
			require.Equal(b, i*10, n)
		}
		f, err := b.q.Flow(b.Context(), id)
		require.NoError(b, err)
		require.Equal(b, jobs.Done, f.State)
		out, err := jobs.Outputs[string](b.Context(), b.q, id)
		require.NoError(b, err)
		require.Equal(b, []string{""}, out, "Mail has no result")
	})
}

func TestFlowIgnoresFailures(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.HandleResult(b.q, func(_ context.Context, n Note) (Note, error) {
			if n.N == 1 {
				return n, jobs.Discard(errors.New("no such page"))
			}
			return n, nil
		})
		var got []*Note
		jobs.Handle(b.q, func(ctx context.Context, m Mail) (err error) {
			got, err = jobs.Inputs[*Note](ctx)
			return err
		})
		b.start(jobs.Flow{Policy: jobs.Ignore, Stages: [][]jobs.Item{jobs.Items(Note{0}, Note{1}, Note{2}), jobs.Items(Mail{})}})
		b.drain()
		require.Equal(b, []*Note{{0}, nil, {2}}, got)
	})
}

func TestFlowFails(t *testing.T) {
	bubble(t, &jobs.Options{Concurrency: 2}, func(b *bench) {
		var causes []error
		jobs.Handle(b.q, func(ctx context.Context, n Note) error {
			if n.N == 0 {
				<-time.After(time.Second)
				return jobs.Discard(errors.New("disk is full"))
			}
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return ctx.Err()
		})
		cleaned := ""
		jobs.Handle(b.q, func(ctx context.Context, m Mail) error {
			info, _ := jobs.InfoFrom(ctx)
			cleaned = info.Flow
			_, err := jobs.Inputs[int](ctx)
			if err == nil {
				b.Error("it is in no stage")
			}
			return nil
		})
		id := b.start(jobs.Flow{
			Stages:    [][]jobs.Item{jobs.Items(Note{0}, Note{1}, Note{2}), jobs.Items(Note{3})},
			OnFailure: &jobs.Item{Args: Mail{To: "ops"}},
		})
		b.drain()
		require.Equal(b, []error{jobs.ErrCancelled}, causes, "the one that ran; the third never started")
		require.Equal(b, id, cleaned)
		_, err := jobs.Outputs[int](b.Context(), b.q, id)
		require.ErrorIs(b, err, jobs.ErrFlowFailed)
		require.ErrorContains(b, err, "disk is full")

		entries, err := b.q.FlowJobs(b.Context(), id, 0, 0, 10)
		require.NoError(b, err)
		require.Len(b, entries, 3)
		require.Equal(b, jobs.Failed, entries[0].State)
		require.Equal(b, "note", entries[0].Info.Kind)
		require.JSONEq(b, `{"N":0}`, string(entries[0].Args), "it is among the dead")
		require.Equal(b, "cancelled", entries[2].Error)
		entries, err = b.q.FlowJobs(b.Context(), id, 1, 0, 10)
		require.NoError(b, err)
		require.Equal(b, jobs.Waiting, entries[0].State)
		require.Equal(b, id, entries[0].Info.Flow)
	})
}

func TestCancelFlow(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		id := b.start(jobs.Flow{Stages: [][]jobs.Item{
			{{Args: Note{}, Options: &jobs.EnqueueOptions{Delay: time.Hour}}, {Args: Note{}}}, jobs.Items(Note{}),
		}})
		entries, err := b.q.FlowJobs(b.Context(), id, 0, 0, 10)
		require.NoError(b, err)
		require.Equal(b, jobs.Scheduled, entries[0].State)
		require.Equal(b, jobs.Ready, entries[1].State)
		found, err := b.q.CancelFlow(b.Context(), id)
		require.NoError(b, err)
		require.True(b, found)
		b.stats(jobs.Stats{})
		_, err = jobs.Outputs[int](b.Context(), b.q, id)
		require.ErrorIs(b, err, jobs.ErrCancelled)
		found, err = b.q.CancelFlow(b.Context(), id)
		require.NoError(b, err)
		require.False(b, found)
		flows, err := b.q.Flows(b.Context(), 0, 10)
		require.NoError(b, err)
		require.Len(b, flows, 1)
		require.Equal(b, jobs.Cancelled, flows[0].State)
	})
}

func TestStartIsIdempotent(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		big := make([]jobs.Args, driver.MaxBatch+1)
		for i := range big {
			big[i] = Note{N: i}
		}
		f := jobs.Flow{ID: "f", Stages: [][]jobs.Item{jobs.Items(big...)}}
		b.d.LoseReply(jobstest.OpPush, errors.New("connection reset"))
		_, err := b.q.Start(b.Context(), f)
		require.ErrorContains(b, err, "connection reset")
		b.stats(jobs.Stats{})
		r, err := b.q.Start(b.Context(), f)
		require.NoError(b, err)
		require.Equal(b, jobs.Receipt{ID: "f"}, r, "it goes on with the second part")
		b.stats(jobs.Stats{Ready: len(big)})
		r, err = b.q.Start(b.Context(), f)
		require.NoError(b, err)
		require.Equal(b, jobs.Receipt{ID: "f", Duplicate: true}, r)
		b.stats(jobs.Stats{Ready: len(big)})
	})
}

func TestUnfinishedFlowIsForgotten(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		many := make([]jobs.Args, driver.MaxBatch+1)
		for i := range many {
			many[i] = Note{N: i}
		}
		b.d.LoseReply(jobstest.OpPush, errors.New("connection reset"))
		_, err := b.q.Start(b.Context(), jobs.Flow{ID: "f", Stages: [][]jobs.Item{jobs.Items(many...)}})
		require.Error(b, err)
		stop := run(b, b.q)
		b.sleep(59 * time.Minute)
		f, err := b.q.Flow(b.Context(), "f")
		require.NoError(b, err)
		require.Equal(b, jobs.Waiting, f.State)
		b.sleep(2 * time.Minute)
		_, err = b.q.Flow(b.Context(), "f")
		require.ErrorIs(b, err, jobs.ErrNotFound)
		require.NoError(b, stop())
	})
}

func TestFlowOptions(t *testing.T) {
	type tenant struct{}
	tenantOf := func(ctx context.Context) (string, bool) {
		id, ok := ctx.Value(tenant{}).(string)
		return id, ok
	}
	ring, err := jobs.NewKeyring("a", map[string][]byte{"a": bytes.Repeat([]byte{1}, 32)})
	require.NoError(t, err)
	var seen []string
	opts := &jobs.Options{
		Codec:  ring,
		Tenant: tenantOf,
		WithTenant: func(ctx context.Context, id string) context.Context {
			return context.WithValue(ctx, tenant{}, id)
		},
		OnEnqueue: []func(context.Context, []jobs.Item, func(context.Context, []jobs.Item) ([]jobs.Receipt, error)) ([]jobs.Receipt, error){
			func(ctx context.Context, items []jobs.Item, next func(context.Context, []jobs.Item) ([]jobs.Receipt, error)) ([]jobs.Receipt, error) {
				receipts, err := next(ctx, items)
				for _, r := range receipts {
					seen = append(seen, r.ID)
				}
				return receipts, err
			},
		},
	}
	bubble(t, opts, func(b *bench) {
		jobs.HandleResult(b.q, func(_ context.Context, n Note) (string, error) { return "secret result", nil })
		var got []string
		jobs.Handle(b.q, func(ctx context.Context, m Mail) (err error) {
			id, _ := tenantOf(ctx)
			if id != "acme" {
				b.Error("the tenant is", id)
			}
			got, err = jobs.Inputs[string](ctx)
			return err
		})
		f := jobs.Flow{ID: "f", Stages: [][]jobs.Item{jobs.Items(Note{}), jobs.Items(Mail{To: "ann"})}}
		_, err := b.q.Start(b.Context(), f)
		require.ErrorIs(b, err, jobs.ErrNoTenant)
		ctx := context.WithValue(b.Context(), tenant{}, "acme")
		r, err := b.q.Start(ctx, f)
		require.NoError(b, err)
		require.Equal(b, []string{"f~0.0", "f~1.0"}, seen)
		b.drain()
		require.Equal(b, []string{"secret result"}, got)
		kept, err := b.d.FlowJobs(ctx, driver.FlowQuery{ID: r.ID, Limit: 10})
		require.NoError(b, err)
		require.NotContains(b, string(kept[0].Result), "secret")
		info, err := b.q.Flow(ctx, r.ID)
		require.NoError(b, err)
		require.Equal(b, "acme", info.Tenant)
	})
}

// Numbered is a kind whose jobs are unique by themselves.
type Numbered struct{ N int }

func (Numbered) Kind() string { return "numbered" }

func (Numbered) JobOptions() jobs.EnqueueOptions {
	return jobs.EnqueueOptions{ID: "numbered", Key: "one", Scope: jobs.UniqueFor, Window: time.Hour, Priority: jobs.PriorityHigh}
}

func TestFlowOfAKindThatIsUnique(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var ran atomic.Int64
		jobs.Handle(b.q, func(ctx context.Context, n Numbered) error {
			ran.Add(int64(n.N))
			return nil
		})
		kept := &jobs.EnqueueOptions{MaxAttempts: 2}
		_, err := b.q.Start(b.Context(), jobs.Flow{
			ID: "f", Stages: [][]jobs.Item{{{Args: Numbered{1}, Options: kept}, {Args: Numbered{2}}}, jobs.Items(Numbered{4})},
		})
		require.NoError(b, err)
		alone := b.enqueue(Numbered{8}, nil)
		require.Equal(b, jobs.Receipt{ID: "numbered"}, alone, "they do not hold the key")
		found, err := b.q.Find(b.Context(), "f~0.0")
		require.NoError(b, err)
		require.Equal(b, 2, found[0].Info.MaxAttempts)
		b.drain()
		require.EqualValues(b, 15, ran.Load())
	})
}

func TestFlowsThatAreNoFlows(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		one := [][]jobs.Item{jobs.Items(Note{})}
		with := func(o jobs.EnqueueOptions) [][]jobs.Item { return [][]jobs.Item{{{Args: Note{}, Options: &o}}} }
		for want, f := range map[string]jobs.Flow{
			"want 1 to 100":              {},
			"stage 1 has no jobs":        {Stages: [][]jobs.Item{jobs.Items(Note{}), {}}},
			"the limit is 100000":        {Stages: [][]jobs.Item{make([]jobs.Item, 100_001)}},
			"Policy \"never\"":           {Stages: one, Policy: "never"},
			"Keep is negative":           {Stages: one, Keep: -1},
			"Flow.ID":                    {Stages: one, ID: "a b"},
			"longer than 100 bytes":      {Stages: one, ID: strings.Repeat("a", 101)},
			"Name is longer":             {Stages: one, Name: strings.Repeat("a", 129)},
			"cannot be unique":           {Stages: with(jobs.EnqueueOptions{Key: "k"})},
			"has a Key, Scope or Window": {Stages: with(jobs.EnqueueOptions{Scope: jobs.Replace})},
			"ID is set":                  {Stages: with(jobs.EnqueueOptions{ID: "k"})},
			"stage 0, job 0: jobs: args": {Stages: [][]jobs.Item{{{}}}},
			"OnFailure: jobs: args":      {Stages: one, OnFailure: &jobs.Item{}},
		} {
			_, err := b.q.Start(b.Context(), f)
			require.ErrorContains(b, err, want)
		}
		_, err := b.q.FlowJobs(b.Context(), "f", 0, 0, 501)
		require.Error(b, err)
		_, err = b.q.Flows(b.Context(), -1, 1)
		require.Error(b, err)
		_, err = jobs.Inputs[int](b.Context())
		require.Error(b, err)
		flows, err := b.q.Flows(b.Context(), 0, 10)
		require.NoError(b, err)
		require.Empty(b, flows)
		b.stats(jobs.Stats{})
	})
}
