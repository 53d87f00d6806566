package jobs

import (
	"cmp"
	"context"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Receipt is the answer to an enqueue.
type Receipt struct {
	ID        string // of the job, or of the one that holds its key
	Duplicate bool   // another job holds EnqueueOptions.Key: this one was not stored
	Replaced  bool   // the other one got this one's arguments, priority and due time (Replace)
}

// Item is one job of EnqueueMany.
type Item struct {
	Args    Args
	Options *EnqueueOptions // nil means the zero value
}

// Enqueue stores a job. When it returns nil the job is stored and will be run.
// After another error than ErrTooLarge, ErrFull, ErrQueueFull, ErrNoTenant,
// ErrIDTaken it may or may not be stored: repeat with EnqueueOptions.ID where
// that matters.
//
// Many calls at a time share round trips; a single one never waits for others.
func (q *Queue) Enqueue(ctx context.Context, args Args, opts *EnqueueOptions) (Receipt, error) {
	if q.opts != nil && len(q.opts.OnEnqueue) > 0 {
		receipts, err := q.EnqueueMany(ctx, []Item{{Args: args, Options: opts}})
		if err != nil {
			return Receipt{}, err
		}
		return receipts[0], nil
	}
	job, err := q.opts.newJob(ctx, args, opts)
	if err != nil {
		return Receipt{}, err
	}
	return q.enqueue(ctx, job)
}

// NewJob makes the stored form of the job that Enqueue would store, for bridges
// that carry it through another log: with the tenant and the trace of ctx,
// sealed by Options.Codec, within Options.MaxPayload. It stores nothing, and
// OnEnqueue, MaxDepth and the Observer do not hear of it.
func (q *Queue) NewJob(ctx context.Context, args Args, opts *EnqueueOptions) (driver.Job, error) {
	return q.opts.newJob(ctx, args, opts)
}

func (q *Queue) enqueue(ctx context.Context, job driver.Job) (Receipt, error) {
	pushed, err := q.pusher.push(ctx, job)
	if err == nil && pushed.Taken {
		err = taken(job)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("jobs: enqueue %s: %w", job.Kind, err)
	}
	return q.receipt(ctx, job, pushed), nil
}

func taken(job driver.Job) error { return fmt.Errorf("%w: %s", ErrIDTaken, job.ID) }

// receipt tells of a job that was pushed.
func (q *Queue) receipt(ctx context.Context, job driver.Job, p driver.Pushed) Receipt {
	r, name := Receipt{ID: job.ID}, "jobs.enqueued"
	if p.Holder != "" {
		r, name = Receipt{ID: p.Holder, Duplicate: true, Replaced: p.Replaced}, "jobs.duplicate"
	}
	q.opts.count(ctx, name, 1, "kind", job.Kind)
	q.opts.observeEnqueued(ctx, Info{ID: job.ID, Kind: job.Kind, Tenant: job.Tenant}, r)
	return r
}

// maxPushBytes bounds one call to the store.
const maxPushBytes = 4 << 20

// EnqueueMany stores jobs with few round trips. All are checked first; then
// they are stored in order, up to 500 or about 4 MiB at a time, each such part
// whole or not at all. On an error the receipts are those of the parts that
// are stored. An ID that is taken keeps no other job from being stored: its
// receipt is the zero value, and ErrIDTaken comes with the receipts of all.
func (q *Queue) EnqueueMany(ctx context.Context, items []Item) ([]Receipt, error) {
	receipts, err := q.around(ctx, items, q.enqueueMany)
	if err == nil && len(receipts) != len(items) {
		return receipts, fmt.Errorf("jobs: enqueue: OnEnqueue answered %d receipts for %d jobs", len(receipts), len(items))
	}
	return receipts, err
}

// around calls next within OnEnqueue.
func (q *Queue) around(ctx context.Context, items []Item, next func(context.Context, []Item) ([]Receipt, error)) ([]Receipt, error) {
	if q.opts != nil {
		for i := len(q.opts.OnEnqueue) - 1; i >= 0; i-- {
			around, inner := q.opts.OnEnqueue[i], next
			next = func(ctx context.Context, items []Item) ([]Receipt, error) { return around(ctx, items, inner) }
		}
	}
	return next(ctx, items)
}

// batchEnd is where the first call ends that stores jobs from start on.
func batchEnd(jobs []driver.Job, start int) int {
	end, size := start, 0
	for end < len(jobs) && end-start < driver.MaxBatch && (end == start || size+len(jobs[end].Body) <= maxPushBytes) {
		size += len(jobs[end].Body)
		end++
	}
	return end
}

func (q *Queue) enqueueMany(ctx context.Context, items []Item) ([]Receipt, error) {
	jobs := make([]driver.Job, len(items))
	for i, item := range items {
		var err error
		if jobs[i], err = q.opts.newJob(ctx, item.Args, item.Options); err != nil {
			return nil, err
		}
	}
	if len(jobs) == 1 {
		r, err := q.enqueue(ctx, jobs[0])
		if err != nil {
			return nil, err
		}
		return []Receipt{r}, nil
	}
	receipts := make([]Receipt, 0, len(items))
	var refused error
	for start := 0; start < len(jobs); {
		end := batchEnd(jobs, start)
		pushed, err := q.driver.Push(ctx, driver.Push{Jobs: jobs[start:end], MaxDepth: q.opts.maxDepth()})
		if err != nil {
			return receipts, fmt.Errorf("jobs: enqueue %s: %w", jobs[start].Kind, err)
		}
		for i, p := range pushed {
			job := jobs[start+i]
			if p.Taken {
				receipts = append(receipts, Receipt{})
				refused = cmp.Or(refused, fmt.Errorf("jobs: enqueue %s: %w", job.Kind, taken(job)))
				continue
			}
			receipts = append(receipts, q.receipt(ctx, job, p))
		}
		start = end
	}
	return receipts, refused
}
