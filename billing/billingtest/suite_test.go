package billingtest_test

import (
	"testing"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
)

func TestProvider(t *testing.T) {
	t.Parallel()
	billingtest.RunProvider(t, func(*testing.T) (billing.Provider, billingtest.Remote) {
		p := billingtest.NewProvider(nil)
		return p, p
	}, billingtest.Features{AnyPrice: true})
}

func TestStore(t *testing.T) {
	t.Parallel()
	billingtest.RunStore(t, func(*testing.T) billing.Store { return billingtest.NewStore() }, billingtest.Features{})
}
