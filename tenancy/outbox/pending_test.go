package outbox_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// TestPending counts after each delivery of a relay with small batches, in the middle of a tick too.
func TestPending(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	sink := &counting{Sink: &tenancytest.Sink{}, counts: map[string][]int64{}}
	pending := func(ctx context.Context) int64 {
		n, err := outbox.Pending(ctx, db, sink.Sink)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, pending(t.Context()))
	for range 5 {
		require.NoError(t, change(acme, db, "a", func() {}))
		require.NoError(t, change(globex, db, "g", func() {}))
	}
	require.NoError(t, change(acme, db, "b", func() { require.EqualValues(t, 10, pending(t.Context()), "an open unit's are not counted") }))
	require.EqualValues(t, 6, pending(acme))
	require.EqualValues(t, 5, pending(globex))

	ctx, stop := context.WithCancel(t.Context())
	sink.after = func() {
		all := pending(t.Context())
		for who, ctx := range map[string]context.Context{"all": t.Context(), "acme": acme, "globex": globex} {
			sink.counts[who] = append(sink.counts[who], pending(ctx))
		}
		if all == 0 {
			stop()
		}
	}
	relay, err := outbox.New(db, sink, &outbox.Options{Batch: 2, Logger: discard()})
	require.NoError(t, err)
	require.NoError(t, relay.Run(ctx))
	// The first delivery has no events: it registers the sink.
	require.Equal(t, map[string][]int64{"all": {11, 9, 7, 5, 3, 1, 0}, "acme": {6, 5, 4, 3, 2, 1, 0}, "globex": {5, 4, 3, 2, 1, 0, 0}}, sink.counts)

	other, _ := open(t)
	_, err = outbox.Pending(t.Context(), other, sink.Sink)
	require.ErrorIs(t, err, outbox.ErrLogChanged)
}

// TestPendingInsideOfAUnit is refused: in a snapshot of before, nothing that came later is pending.
func TestPendingInsideOfAUnit(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	acme := tenancy.WithID(t.Context(), "acme")
	system := tenancy.System(t.Context(), "test")
	old := db.With(&tenancy.TxOptions{Isolation: pgx.RepeatableRead})
	require.NoError(t, old.Do(system, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `select`)
		require.NoError(t, err)
		require.NoError(t, change(acme, db, "a", func() {}))
		_, err = outbox.Pending(ctx, db, &tenancytest.Sink{})
		require.ErrorContains(t, err, "inside a unit of work")
		return nil
	}))
}

// counting looks after each delivery.
type counting struct {
	outbox.Sink
	after  func()
	counts map[string][]int64
}

func (s *counting) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	ok, err := s.Sink.Deliver(ctx, from, to, events)
	s.after()
	return ok, err
}
