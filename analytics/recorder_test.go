package analytics_test

import (
	"context"
	"slices"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

// recorder is a store that remembers the batches it was sent.
type recorder struct {
	*analyticstest.Store
	batches []analytics.Batch
	after   func() // is called after each Insert
}

func (r *recorder) Insert(ctx context.Context, b analytics.Batch) error {
	defer r.after()
	r.batches = append(r.batches, analytics.Batch{Token: b.Token, Records: slices.Clone(b.Records)})
	return r.Store.Insert(ctx, b)
}
