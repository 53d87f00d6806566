package billing_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
)

// chaos lets one subscription live through changes while webhooks arrive late, shuffled, twice, and through
// handlers that stall, fail and are retried. It returns the provider's truth and what the store has at the end.
func chaos(t *testing.T, seed uint64, wrap func(billing.Store) billing.Store) (truth, stored billing.Subscription) {
	rng := rand.New(rand.NewPCG(seed, 7))
	var mu sync.Mutex
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	stall := func(ms int) { <-time.After(time.Duration(roll(ms)) * time.Millisecond) }

	b, sub := bought(t, billing.Options{})
	bill, err := billing.New(billingtest.Plans(), b.fake, wrap(b.store), &billing.Options{Tenant: tenantFrom, Errors: b.reports, Logger: quiet})
	require.NoError(t, err)
	b.fake.SetFault(func(_ context.Context, c billingtest.Call) error {
		if c.Done { // after reading, so that what was read grows old
			stall(80)
		}
		if roll(8) == 0 {
			return &billing.Error{Op: "chaos", Kind: billing.ErrUnavailable, Retryable: true}
		}
		return nil
	})
	b.store.SetFault(func(context.Context, string) error {
		stall(5)
		if roll(10) == 0 {
			return errors.New("chaos")
		}
		return nil
	})

	var wg sync.WaitGroup
	deliver := func() {
		for _, d := range b.fake.Deliveries() {
			for range 1 + roll(2) {
				wg.Go(func() {
					stall(30)
					for d.Send(bill.Webhook()) != 204 {
						stall(50)
					}
				})
			}
		}
	}
	deliver()
	life := []billing.State{billing.StateActive, billing.StatePastDue, billing.StateUnpaid, billing.StateTrialing}
	for range 8 {
		require.NoError(t, b.fake.Update(sub, func(s *billing.Subscription) {
			s.State = life[roll(len(life))]
			s.PeriodEnd = s.PeriodEnd.Add(time.Hour)
		}))
		deliver()
		stall(20)
	}
	wg.Wait()
	b.store.SetFault(nil)
	stored, err = bill.Subscription(as(t.Context(), "acme"))
	require.NoError(t, err)
	truth = b.fake.Truth()[sub]
	truth.Tenant = "acme"
	return truth, stored
}

func TestChaosConverges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			truth, stored := chaos(t, seed, func(s billing.Store) billing.Store { return s })
			require.Equal(t, truth, stored, "seed %d", seed)
		})
	}
}

// lastWins plants the classical fault: whoever stores last wins.
type lastWins struct{ billing.Store }

func (s lastWins) Apply(ctx context.Context, sub billing.Subscription, gen int64) (billing.Change, error) {
	c, err := s.Store.Apply(ctx, sub, gen)
	if err != nil || c.Stored {
		return c, err
	}
	// Fenced off: sneak in under a generation of its own.
	m, err := s.Store.Ingest(ctx, billing.Event{
		Provider: sub.Provider, ID: time.Now().String() + sub.PeriodEnd.String(), Kind: billing.KindSubscription, Object: sub.ID,
	})
	if err != nil {
		return c, err
	}
	return s.Store.Apply(ctx, sub, m.Generation)
}

func TestChaosCatchesAStoreWithoutFence(t *testing.T) {
	t.Parallel()
	wrong := 0
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			if truth, stored := chaos(t, seed, func(s billing.Store) billing.Store { return lastWins{s} }); truth != stored {
				wrong++
			}
		})
	}
	t.Logf("%d of 60 lives diverge without the fence", wrong)
	require.Positive(t, wrong, "the chaos is too tame to prove anything")
}
