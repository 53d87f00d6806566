package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

func TestEnqueueChecksItsOptions(t *testing.T) {
	bubble(t, &jobs.Options{MaxPayload: 100}, func(b *bench) {
		b.d.Fail(jobstest.OpPush, errors.New("nothing may be sent"))
		for name, tt := range map[string]struct {
			args jobs.Args
			opts jobs.EnqueueOptions
			want string
		}{
			"no args":        {nil, jobs.EnqueueOptions{}, "args are nil"},
			"nil pointer":    {(*Mail)(nil), jobs.EnqueueOptions{}, "args are nil"},
			"nil of a type":  {(*Hourly)(nil), jobs.EnqueueOptions{}, "args are nil"},
			"negative delay": {Mail{}, jobs.EnqueueOptions{Delay: -1}, "EnqueueOptions.Delay is negative"},
			"delay and at":   {Mail{}, jobs.EnqueueOptions{Delay: 1, At: time.Now()}, "both Delay and At"},
			"attempts":       {Mail{}, jobs.EnqueueOptions{MaxAttempts: -1}, "MaxAttempts is negative"},
			"blank id":       {Mail{}, jobs.EnqueueOptions{ID: "a b"}, "EnqueueOptions.ID"},
			"private id":     {Mail{}, jobs.EnqueueOptions{ID: "@"}, "EnqueueOptions.ID"},
			"long key":       {Mail{}, jobs.EnqueueOptions{Key: strings.Repeat("x", 200)}, "EnqueueOptions.Key"},
			"bad kind":       {badKind{}, jobs.EnqueueOptions{}, "kind"},
			"unmarshalable":  {badArgs{}, jobs.EnqueueOptions{}, "encode bad"},
			"too large":      {Mail{To: strings.Repeat("x", 100)}, jobs.EnqueueOptions{}, "mail.send has 109 bytes, the limit is 100"},
		} {
			_, err := b.q.Enqueue(b.Context(), tt.args, &tt.opts)
			require.ErrorContains(b, err, tt.want, name)
		}
		_, err := b.q.Enqueue(b.Context(), Mail{To: strings.Repeat("x", 100)}, nil)
		require.ErrorIs(b, err, jobs.ErrTooLarge)
		_, err = b.q.Enqueue(b.Context(), Mail{}, nil)
		require.ErrorContains(b, err, "nothing may be sent", "the fault was in place")
	})
}

type badKind struct{}

func (badKind) Kind() string { return "has blank" }

type badArgs struct{ C chan int }

func (badArgs) Kind() string { return "bad" }

func TestEnqueueMany(t *testing.T) {
	counts := &spy{}
	bubble(t, &jobs.Options{Concurrency: 1, Metrics: counts}, func(b *bench) {
		items := make([]jobs.Item, 620)
		for i := range items {
			items[i] = jobs.Item{Args: Note{N: i}}
		}
		items[550].Options = &jobs.EnqueueOptions{Key: "k", ID: "holder"}
		items[600].Options = &jobs.EnqueueOptions{Key: "k"}
		receipts, err := b.q.EnqueueMany(b.Context(), items)
		require.NoError(b, err)
		require.Len(b, receipts, len(items))
		require.Equal(b, jobs.Receipt{ID: "holder", Duplicate: true}, receipts[600])
		require.Equal(b, 619.0, counts.counts["jobs.enqueued"])

		var order []int
		jobs.Handle(b.q, func(_ context.Context, n Note) error {
			order = append(order, n.N)
			return nil
		})
		jobstest.Drain(b, b.d, b.q)
		require.Len(b, order, 619)
		require.IsIncreasing(b, order)
	})
}

func TestEnqueueManyReportsWhatIsStored(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		items := make([]jobs.Item, 40)
		for i := range items {
			items[i] = jobs.Item{Args: Mail{To: strings.Repeat("x", 200<<10)}}
		}
		// 20 of these fit into one call.
		b.d.Fail(jobstest.OpPush, nil)
		receipts, err := b.q.EnqueueMany(b.Context(), items)
		require.NoError(b, err)
		require.Len(b, receipts, 40)
		b.d.FailNext(jobstest.OpPush, jobs.ErrFull)
		receipts, err = b.q.EnqueueMany(b.Context(), items)
		require.ErrorIs(b, err, jobs.ErrFull)
		require.Empty(b, receipts)
		b.stats(jobs.Stats{Ready: 40})
	})
}

func TestTenantTravelsWithTheJob(t *testing.T) {
	opts := withTenants()
	opts.Concurrency = 1
	bubble(t, opts, func(b *bench) {
		var seen []string
		jobs.Handle(b.q, func(ctx context.Context, _ Mail) error {
			id, ok := opts.Tenant(ctx)
			info, _ := jobs.InfoFrom(ctx)
			seen = append(seen, fmt.Sprintf("%s %t %s", id, ok, info.Tenant))
			return nil
		})
		b.d.Fail(jobstest.OpPush, errors.New("nothing may be sent"))
		_, err := b.q.Enqueue(b.Context(), Mail{}, nil)
		require.ErrorIs(b, err, jobs.ErrNoTenant)
		b.d.Fail(jobstest.OpPush, nil)

		acme := opts.WithTenant(b.Context(), "acme")
		first, err := b.q.Enqueue(acme, Mail{}, &jobs.EnqueueOptions{Key: "k"})
		require.NoError(b, err)
		other, err := b.q.Enqueue(opts.WithTenant(b.Context(), "other"), Mail{}, &jobs.EnqueueOptions{Key: "k"})
		require.NoError(b, err)
		require.False(b, other.Duplicate, "keys of tenants are apart")
		again, err := b.q.Enqueue(acme, Mail{}, &jobs.EnqueueOptions{Key: "k"})
		require.NoError(b, err)
		require.Equal(b, jobs.Receipt{ID: first.ID, Duplicate: true}, again)
		_, err = b.q.Enqueue(acme, Mail{}, &jobs.EnqueueOptions{NoTenant: true})
		require.NoError(b, err)

		jobstest.Drain(b, b.d, b.q)
		require.ElementsMatch(b, []string{"acme true acme", "other true other", " false "}, seen)
	})
}

func TestOddTenants(t *testing.T) {
	opts := withTenants()
	bubble(t, opts, func(b *bench) {
		_, err := b.q.Enqueue(opts.WithTenant(b.Context(), "\xff"), Mail{}, nil)
		require.ErrorContains(b, err, "not UTF-8", "JSON would make it another tenant")
		for tenant, key := range map[string]string{"a": "1:b", "a1:": "b", "a\x00b": "c", "": "1:a1:b"} {
			r, err := b.q.Enqueue(opts.WithTenant(b.Context(), tenant), Mail{}, &jobs.EnqueueOptions{Key: key, NoTenant: tenant == ""})
			require.NoError(b, err)
			require.False(b, r.Duplicate, "%q %q", tenant, key)
		}
		r, err := b.q.Enqueue(opts.WithTenant(b.Context(), "a"), Mail{}, &jobs.EnqueueOptions{Key: "b\x00c"})
		require.NoError(b, err)
		require.False(b, r.Duplicate)
	})
}

func TestJobOfATenantIsNotRunWithoutOne(t *testing.T) {
	opts := withTenants()
	bubble(t, opts, func(b *bench) {
		_, err := b.q.Enqueue(opts.WithTenant(b.Context(), "acme"), Mail{}, nil)
		require.NoError(b, err)
		blind := b.queue(&jobs.Options{Logger: quiet})
		jobs.Handle(blind, func(context.Context, Mail) error {
			b.Error("ran without its tenant")
			return nil
		})
		stop := run(b, blind)
		b.sleep(time.Minute)
		require.NoError(b, stop())
		stats, err := b.q.Stats(b.Context())
		require.NoError(b, err)
		require.Equal(b, 1, stats.Scheduled+stats.Ready)
	})
}

func TestNewChecksItsOptions(t *testing.T) {
	t.Parallel()
	_, err := jobs.New(nil, nil)
	require.ErrorContains(t, err, "driver is nil")
	for want, opts := range map[string]*jobs.Options{
		"Options.Concurrency":               {Concurrency: 501},
		"Options.MaxAttempts":               {MaxAttempts: -1},
		"Options.Lease":                     {Lease: time.Millisecond},
		"Options.Tenant and Options.WithTe": {Tenant: withTenants().Tenant},
		"RequireSealed needs a Codec":       {RequireSealed: true},
	} {
		_, err := jobs.New(jobstest.New(t), opts)
		require.ErrorContains(t, err, want)
	}
}

func TestHandlePanicsOnMisuse(t *testing.T) {
	t.Parallel()
	q, err := jobs.New(jobstest.New(t), nil)
	require.NoError(t, err)
	ok := func(context.Context, Mail) error { return nil }
	jobs.Handle(q, ok)
	require.PanicsWithValue(t, `jobs: Handle: kind "mail.send" is registered twice`, func() { jobs.Handle(q, ok) })
	require.Panics(t, func() { jobs.Handle[Note](q, nil) })
	require.Panics(t, func() { jobs.Handle(q, func(context.Context, badKind) error { return nil }) })
	require.Panics(t, func() { jobs.Handle(q, func(context.Context, *Note) error { return nil }) })
	require.Panics(t, func() { jobs.Handle(q, func(context.Context, jobs.Args) error { return nil }) })
}

// A customer's number is a key of many kinds.
func TestKeysArePerTenantAndKind(t *testing.T) {
	bubble(t, withTenants(), func(b *bench) {
		acme, bolt := withTenants().WithTenant(b.Context(), "acme"), withTenants().WithTenant(b.Context(), "bolt")
		for _, scope := range []jobs.UniqueScope{jobs.UntilDone, jobs.Replace} {
			opts := &jobs.EnqueueOptions{Key: "customer-42" + string(scope), Scope: scope}
			for _, c := range []struct {
				ctx  context.Context
				args jobs.Args
			}{{acme, Mail{}}, {acme, Note{}}, {bolt, Mail{}}} {
				first, err := b.q.Enqueue(c.ctx, c.args, opts)
				require.NoError(b, err)
				require.False(b, first.Duplicate)
				again, err := b.q.Enqueue(c.ctx, c.args, opts)
				require.NoError(b, err)
				require.Equal(b, jobs.Receipt{ID: first.ID, Duplicate: true, Replaced: scope == jobs.Replace}, again)
			}
		}
		b.stats(jobs.Stats{Ready: 6})
	})
}
