package jobs_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

type layerKey struct{}

func TestOnWorkGoesAroundHandlers(t *testing.T) {
	var steps []string
	layer := func(name string) func(context.Context, func(context.Context) error) error {
		return func(ctx context.Context, next func(context.Context) error) error {
			info, _ := jobs.InfoFrom(ctx)
			steps = append(steps, name+" before "+info.Kind)
			err := next(context.WithValue(ctx, layerKey{}, name))
			steps = append(steps, name+" after")
			return err
		}
	}
	bubble(t, &jobs.Options{OnWork: []func(context.Context, func(context.Context) error) error{layer("a"), layer("b")}}, func(b *bench) {
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			steps = append(steps, "handler in "+ctx.Value(layerKey{}).(string))
			return nil
		})
		b.enqueue(Note{}, nil)
		jobstest.Drain(b, b.d, b.q)
		require.Equal(b, []string{"a before note", "b before note", "handler in b", "b after", "a after"}, steps)
	})
}

func TestOnWorkDecides(t *testing.T) {
	refuse := func(context.Context, func(context.Context) error) error { return jobs.Discard(errors.New("refused")) }
	bubble(t, &jobs.Options{OnWork: []func(context.Context, func(context.Context) error) error{refuse}}, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Note) error {
			b.Error("was called")
			return nil
		})
		b.enqueue(Note{}, nil)
		jobstest.Drain(b, b.d, b.q)
		b.stats(jobs.Stats{Dead: 1})
	})
}

func TestOnEnqueueGoesAroundEnqueues(t *testing.T) {
	var seen []int
	double := func(ctx context.Context, items []jobs.Item, next func(context.Context, []jobs.Item) ([]jobs.Receipt, error)) ([]jobs.Receipt, error) {
		seen = append(seen, len(items))
		changed := make([]jobs.Item, len(items))
		for i, item := range items {
			changed[i] = jobs.Item{Args: Note{N: 2 * item.Args.(Note).N}, Options: item.Options}
		}
		return next(ctx, changed)
	}
	refuse := func(ctx context.Context, items []jobs.Item, next func(context.Context, []jobs.Item) ([]jobs.Receipt, error)) ([]jobs.Receipt, error) {
		if items[0].Args.(Note).N == 26 {
			return nil, errors.ErrUnsupported
		}
		return next(ctx, items)
	}
	bubble(t, &jobs.Options{OnEnqueue: []func(context.Context, []jobs.Item, func(context.Context, []jobs.Item) ([]jobs.Receipt, error)) ([]jobs.Receipt, error){double, refuse}}, func(b *bench) {
		r := b.enqueue(Note{N: 1}, &jobs.EnqueueOptions{ID: "one"})
		require.Equal(b, "one", r.ID)
		_, err := b.q.EnqueueMany(b.Context(), []jobs.Item{{Args: Note{N: 2}}, {Args: Note{N: 3}}})
		require.NoError(b, err)
		_, err = b.q.Enqueue(b.Context(), Note{N: 13}, nil)
		require.ErrorIs(b, err, errors.ErrUnsupported)
		require.Equal(b, []int{1, 2, 1}, seen)
		require.ElementsMatch(b, []Note{{2}, {4}, {6}}, jobstest.Enqueued[Note](b, b.d))
	})
}

// TestOnEnqueueOwesReceipts: who asked for a job must not take silence for its receipt.
func TestOnEnqueueOwesReceipts(t *testing.T) {
	silent := func(context.Context, []jobs.Item, func(context.Context, []jobs.Item) ([]jobs.Receipt, error)) ([]jobs.Receipt, error) {
		return nil, nil
	}
	bubble(t, &jobs.Options{OnEnqueue: []func(context.Context, []jobs.Item, func(context.Context, []jobs.Item) ([]jobs.Receipt, error)) ([]jobs.Receipt, error){silent}}, func(b *bench) {
		_, err := b.q.Enqueue(b.Context(), Note{}, nil)
		require.ErrorContains(b, err, "0 receipts for 1 jobs")
		_, err = b.q.EnqueueMany(b.Context(), []jobs.Item{{Args: Note{N: 2}}, {Args: Note{N: 3}}})
		require.ErrorContains(b, err, "0 receipts for 2 jobs")
	})
}

func TestTraceTravels(t *testing.T) {
	const parent, state = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=a\"b"
	opts := &jobs.Options{}
	opts.Trace.Inject = func(ctx context.Context) (string, string) {
		if ctx.Value(layerKey{}) == nil {
			return "", ""
		}
		return parent, state
	}
	opts.Trace.Extract = func(ctx context.Context, parent, state string) context.Context {
		return context.WithValue(ctx, layerKey{}, parent+" "+state)
	}
	bubble(t, opts, func(b *bench) {
		var got []any
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			got = append(got, ctx.Value(layerKey{}))
			return nil
		})
		_, err := b.q.Enqueue(context.WithValue(b.Context(), layerKey{}, true), Note{}, nil)
		require.NoError(b, err)
		jobstest.Drain(b, b.d, b.q)
		b.enqueue(Note{}, nil)
		jobstest.Drain(b, b.d, b.q)
		require.Equal(b, []any{parent + " " + state, nil}, got)
	})
}
