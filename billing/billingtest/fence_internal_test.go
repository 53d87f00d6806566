package billingtest

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/ashlar-go/ashlar/billing"
)

// unfenced is a store with a planted fault: Apply always stores.
type unfenced struct{ *Store }

func (u unfenced) Apply(ctx context.Context, sub billing.Subscription, _ int64) (billing.Change, error) {
	u.mu.Lock()
	mk := [3]string{sub.Provider, billing.KindSubscription, sub.ID}
	m := u.marks[mk]
	m.Generation, m.Applied = m.Generation+1, m.Generation
	u.marks[mk] = m
	u.mu.Unlock()
	return u.Store.Apply(ctx, sub, m.Generation)
}

// The case "concurrent fetches converge to the truth" must notice a store without a fence.
func TestConvergeCatchesMissingFence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wrong := 0
		for seed := range uint64(4) {
			if want, got := converge(t, unfenced{NewStore()}, seed); want != got {
				wrong++
			}
		}
		if wrong < 2 {
			t.Errorf("%d of 4 seeds diverged without the fence: the suite's case proves nothing", wrong)
		}
	})
}
