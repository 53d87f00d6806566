package jobs

import (
	"context"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Receipt is the answer to an enqueue.
type Receipt struct {
	ID        string // of the job, or of the one that holds its key
	Duplicate bool   // another unfinished job holds EnqueueOptions.Key: nothing was stored
}

// Item is one job of EnqueueMany.
type Item struct {
	Args    Args
	Options *EnqueueOptions // nil means the zero value
}

// Enqueue stores a job. When it returns nil the job is stored and will be run.
// After another error than ErrTooLarge, ErrFull, ErrNoTenant it may or may not
// be stored: repeat with EnqueueOptions.ID where that matters.
func (q *Queue) Enqueue(ctx context.Context, args Args, opts *EnqueueOptions) (Receipt, error) {
	receipts, err := q.EnqueueMany(ctx, []Item{{Args: args, Options: opts}})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// maxPushBytes bounds one call to the store.
const maxPushBytes = 4 << 20

// EnqueueMany stores jobs with few round trips. All are checked first; then
// they are stored in order, up to MaxBatch or about 4 MiB at a time, each such
// part whole or not at all. On an error the receipts are those of the parts
// that are stored.
func (q *Queue) EnqueueMany(ctx context.Context, items []Item) ([]Receipt, error) {
	jobs := make([]driver.Job, len(items))
	for i, item := range items {
		tenant, err := q.opts.tenant(ctx, item.Options)
		if err != nil {
			return nil, err
		}
		if jobs[i], err = NewJob(tenant, item.Args, item.Options, q.opts.maxPayload()); err != nil {
			return nil, err
		}
	}
	receipts := make([]Receipt, 0, len(items))
	for start := 0; start < len(jobs); {
		end, size := start, 0
		for end < len(jobs) && end-start < driver.MaxBatch && (end == start || size+len(jobs[end].Body) <= maxPushBytes) {
			size += len(jobs[end].Body)
			end++
		}
		pushed, err := q.driver.Push(ctx, driver.Push{Jobs: jobs[start:end]})
		if err != nil {
			return receipts, fmt.Errorf("jobs: enqueue %s: %w", items[start].Args.Kind(), err)
		}
		for i, p := range pushed {
			receipt := Receipt{ID: jobs[start+i].ID}
			name := "jobs.enqueued"
			if p.Holder != "" {
				receipt = Receipt{ID: p.Holder, Duplicate: true}
				name = "jobs.duplicate"
			}
			receipts = append(receipts, receipt)
			q.opts.count(ctx, name, 1, "kind", items[start+i].Args.Kind())
		}
		start = end
	}
	return receipts, nil
}
