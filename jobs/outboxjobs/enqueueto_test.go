package outboxjobs_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

type letter struct{ Text string }

func (letter) Kind() string { return "letter" }

type traceKey struct{}

// What EnqueueTo hands to the outbox is what the queue would have stored: sealed, with the
// trace, within the queue's own bound, for the unit's tenant only.
func TestEnqueueToMakesTheQueuesJobs(t *testing.T) {
	t.Parallel()
	kit, store := tenancytest.NewKit(), jobstest.NewDriver()
	keys, err := jobs.NewKeyring("k1", map[string][]byte{"k1": []byte(strings.Repeat("k", 32))})
	require.NoError(t, err)
	opts := &jobs.Options{Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID, Codec: keys, MaxPayload: 64, Logger: quiet}
	opts.Trace.Inject = func(ctx context.Context) (string, string) {
		parent, _ := ctx.Value(traceKey{}).(string)
		return parent, ""
	}
	opts.Trace.Extract = func(ctx context.Context, parent, _ string) context.Context {
		return context.WithValue(ctx, traceKey{}, parent)
	}
	q, err := jobs.New(store, opts)
	require.NoError(t, err)
	type seen struct{ text, tenant, trace string }
	got := make(chan seen, 1)
	jobs.Handle(q, func(ctx context.Context, l letter) error {
		tenant, _ := tenancy.IDFrom(ctx)
		trace, _ := ctx.Value(traceKey{}).(string)
		got <- seen{l.Text, tenant, trace}
		return nil
	})

	acme := context.WithValue(tenancy.WithID(t.Context(), "acme"), traceKey{}, "00-parent")
	require.NoError(t, kit.DB().Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		require.ErrorIs(t, outboxjobs.EnqueueTo(ctx, tx, q, letter{strings.Repeat("x", 65)}, nil), jobs.ErrTooLarge)
		globex := tenancy.WithID(ctx, "globex")
		require.ErrorIs(t, outboxjobs.EnqueueTo(globex, tx, q, letter{"stray"}, nil), tenancy.ErrTenantMismatch)
		require.Error(t, outboxjobs.EnqueueTo(ctx, nil, q, letter{"x"}, nil))
		require.Error(t, outboxjobs.EnqueueTo(ctx, tx, nil, letter{"x"}, nil))
		return outboxjobs.EnqueueTo(ctx, tx, q, letter{"secret"}, nil)
	}))
	events := kit.Events()
	require.Len(t, events, 1)
	require.NotContains(t, string(events[0].Payload), "secret")

	sink, err := outboxjobs.NewSink(store, nil)
	require.NoError(t, err)
	moved, err := sink.Deliver(t.Context(), "", "p1", events)
	require.NoError(t, err)
	require.True(t, moved)
	found, err := store.List(t.Context(), driver.ListQuery{State: driver.Ready, Limit: 10})
	require.NoError(t, err)
	require.Len(t, found, 1)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	select {
	case run := <-got:
		require.Equal(t, seen{"secret", "acme", "00-parent"}, run)
	case err := <-ended:
		require.NoError(t, err)
		t.Fatal("the job did not run within a minute")
	}
	cancel()
	require.NoError(t, <-ended)
}
