package analyticstest_test

import (
	"testing"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

func TestStoreConformance(t *testing.T) {
	t.Parallel()
	analyticstest.Run(t, func(*testing.T) analytics.Store { return analyticstest.NewStore() }, analyticstest.Features{Bubble: true})
}
