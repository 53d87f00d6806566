package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Bulk is what became of the jobs that a filter selected.
type Bulk struct {
	Found   int // they matched when they were looked for
	Changed int // they were requeued, cancelled or deleted
	Skipped int // they did not match any more when it was their turn: they had gone on, or somebody was quicker
}

// BulkOptions configure RequeueAll, CancelAll and DeleteAll. A nil pointer means
// the zero value.
type BulkOptions struct {
	// AllTenants lets a filter without a tenant reach the jobs of all tenants,
	// from a context that has none. False means ErrNoTenant where Options.Tenant
	// is set: a tenant that somebody forgot would be everybody. With a tenant in
	// the context it changes nothing.
	AllTenants bool

	// Progress is called after each step, of 500 jobs at most, by the goroutine
	// that made the call: at first Found grows, then Changed and Skipped do. Nil
	// means that nobody wants to know.
	Progress func(Bulk)
}

// RequeueAll is Requeue for all jobs that a filter selects, which are dead or
// scheduled; the longest dead come first.
//
// RequeueAll, CancelAll and DeleteAll look for the jobs first and change them
// then, in steps of 500 at most, between which workers get their turn. A job is
// changed once and only if it matches at that moment. One that begins to match
// after the search, such as a requeued job that is dead again, is left to another
// call. Of a million jobs the ids take some 50 MB for so long.
//
// They end with ctx, and with the first error; the answer then tells what was done
// until then, but for a last step whose answer got lost. With a tenant in ctx a
// filter is for that tenant, and one for another selects nothing.
func (q *Queue) RequeueAll(ctx context.Context, f Filter, opts *BulkOptions) (Bulk, error) {
	return q.bulk(ctx, f, opts, driver.Requeue, Dead, Scheduled)
}

// CancelAll is Cancel for all jobs that a filter selects, which are ready,
// scheduled, parked or running. See RequeueAll.
func (q *Queue) CancelAll(ctx context.Context, f Filter, opts *BulkOptions) (Bulk, error) {
	return q.bulk(ctx, f, opts, driver.Cancel, Ready, Scheduled, Parked, Running)
}

// DeleteAll is Delete for all jobs that a filter selects, which are dead or done.
// See RequeueAll.
func (q *Queue) DeleteAll(ctx context.Context, f Filter, opts *BulkOptions) (Bulk, error) {
	return q.bulk(ctx, f, opts, driver.Delete, Dead, Done)
}

// Count answers how many jobs a filter selects. It looks at each job of the
// state, 500 a call, unless the filter names nothing else. If ctx ends before, it
// answers how many it had found, and an error. Tenants are as in Search.
func (q *Queue) Count(ctx context.Context, f Filter) (int, error) {
	f, ok := q.within(ctx, f)
	if !ok {
		return 0, nil
	}
	if f == (Filter{State: f.State}) {
		stats, err := q.Stats(ctx)
		n, known := map[State]int{
			Ready: stats.Ready, Scheduled: stats.Scheduled, Parked: stats.Parked,
			Running: stats.Running, Dead: stats.Dead, Done: stats.Done,
		}[f.State]
		if err == nil && !known {
			err = fmt.Errorf("jobs: count: unknown state %q", f.State)
		}
		return n, err
	}
	sweeper, err := q.sweeper("count")
	if err != nil {
		return 0, err
	}
	n := 0
	err = eachMatching(ctx, sweeper, f, func(ids []string) { n += len(ids) })
	if err != nil {
		return n, fmt.Errorf("jobs: count: %w", err)
	}
	return n, nil
}

func (q *Queue) sweeper(what string) (driver.Sweeper, error) {
	s, ok := q.driver.(driver.Sweeper)
	if !ok {
		return nil, fmt.Errorf("jobs: %s: the driver cannot look for all: %w", what, errors.ErrUnsupported)
	}
	return s, nil
}

// eachMatching tells the ids of the jobs that a filter selects, page by page.
func eachMatching(ctx context.Context, s driver.Sweeper, f Filter, see func(ids []string)) error {
	for cursor := ""; ; {
		ids, next, err := s.Match(ctx, f, cursor)
		if err != nil {
			return err
		}
		see(ids)
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

func (q *Queue) bulk(ctx context.Context, f Filter, opts *BulkOptions, how driver.Resolution, states ...State) (Bulk, error) {
	var b Bulk
	if opts == nil {
		opts = &BulkOptions{}
	}
	progress := func() {
		if opts.Progress != nil {
			opts.Progress(b)
		}
	}
	if !slices.Contains(states, f.State) {
		return b, fmt.Errorf("jobs: %s all: it is for jobs that are one of %v, not %q", how, states, f.State)
	}
	tenants := q.opts != nil && q.opts.Tenant != nil
	f, ok := q.within(ctx, f)
	switch {
	case !ok:
		return b, nil
	case tenants && f.Tenant == "" && !opts.AllTenants:
		return b, fmt.Errorf("jobs: %s all: neither the context nor the filter has a tenant, and AllTenants is not set: %w", how, ErrNoTenant)
	}
	sweeper, err := q.sweeper(string(how) + " all")
	if err != nil {
		return b, err
	}
	var ids []string
	err = eachMatching(ctx, sweeper, f, func(page []string) {
		ids = append(ids, page...)
		b.Found = len(ids)
		progress()
	})
	if err != nil {
		return b, fmt.Errorf("jobs: %s all: %w", how, err)
	}
	if f.State != Dead { // one that moved during the search may have been seen twice
		slices.Sort(ids)
		ids = slices.Compact(ids)
		b.Found = len(ids)
	}
	for step := range slices.Chunk(ids, driver.MaxBatch) {
		n, err := sweeper.ResolveMatching(ctx, step, f, how)
		b.Changed += n
		if err != nil {
			return b, fmt.Errorf("jobs: %s all: %w", how, err)
		}
		b.Skipped += len(step) - n
		progress()
	}
	return b, nil
}
