package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Flow is jobs in stages. The jobs of a stage run side by side, like any other
// jobs; when all of them have finished the next stage begins, and its handlers
// can read their results with Inputs. So stages of one job each are a chain, one
// stage of many jobs is a batch, and a stage of many before one of a single job
// is a chord. Graphs with other shapes are not supported.
//
// A job of a flow has failed when it is dead or cancelled. Retries go before
// that, as usual.
type Flow struct {
	// Stages are the jobs, in at most 100 stages and 100,000 jobs in all. A
	// Delay or At counts from the beginning of the stage. Options with a Key or
	// an ID are errors, those of a type (see Args) mean nothing here; the jobs get
	// ids that begin with the flow's.
	Stages [][]Item

	// Policy says what a failed job means. Zero means FailFast.
	Policy FlowPolicy

	// OnFailure is a job that is enqueued when the flow has failed, once, and
	// when no job of it is running any more. It is for cleaning up; it is not
	// enqueued for a flow that was cancelled. Info.Flow of its handler is the
	// flow. Nil means none.
	OnFailure *Item

	// Name is for people. Empty means none.
	Name string

	// ID is the flow's id, for callers that must be able to repeat a Start
	// whose answer was lost: as EnqueueOptions.ID, 100 bytes at most. Empty
	// means a new one.
	ID string

	// Keep is how long a flow that has ended can be looked up. Longer, if one
	// of its jobs still exists, for example because it is dead. Zero means 24
	// hours. Negative is an error.
	Keep time.Duration

	// NoTenant starts a flow whose jobs belong to no tenant, whatever the
	// context says. False means that they belong to the context's.
	NoTenant bool
}

// FlowPolicy says what a failed job means for its flow.
type FlowPolicy = driver.FlowPolicy

// The policies.
const (
	FailFast = driver.FailFast // the rest of its stage is cancelled and the flow fails
	WaitAll  = driver.WaitAll  // the rest of its stage goes on, then the flow fails
	Ignore   = driver.Ignore   // the flow goes on without the job's result
)

// FlowInfo is a flow as operators see it. Its state is Waiting, Running, Done,
// Failed or Cancelled.
type FlowInfo = driver.Flow

// Items makes a list of jobs without options, for a stage of a Flow or for
// EnqueueMany.
func Items(args ...Args) []Item {
	items := make([]Item, len(args))
	for i, a := range args {
		items[i].Args = a
	}
	return items
}

// defaultKeep is Flow.Keep.
const defaultKeep = 24 * time.Hour

// Start stores a flow and begins its first stage. A flow of at most 500 jobs
// and about 4 MiB is stored in one step; of a larger one nothing runs before
// all of it is stored. The receipt is a duplicate if a flow with this ID was
// there already, running or ended: then nothing was stored.
//
// After an error that Enqueue would answer, too, nothing is stored. After
// another one the flow may be stored, or a part of it, of which nothing runs
// and which is forgotten an hour later: repeat with the same ID, which goes on
// where it was.
func (q *Queue) Start(ctx context.Context, f Flow) (Receipt, error) {
	fail := func(err error) (Receipt, error) {
		return Receipt{}, fmt.Errorf("jobs: start flow: %w", err)
	}
	if _, ok := q.driver.(driver.Flower); !ok {
		return fail(fmt.Errorf("the driver cannot: %w", errors.ErrUnsupported))
	}
	if err := f.check(); err != nil {
		return fail(err)
	}
	if f.ID == "" {
		f.ID = newID()
	}
	var items []Item
	for _, stage := range f.Stages {
		items = append(items, stage...)
	}
	receipt, called := Receipt{ID: f.ID}, false
	_, err := q.around(ctx, items, func(ctx context.Context, changed []Item) ([]Receipt, error) {
		called = true
		if len(changed) != len(items) {
			return nil, errors.New("jobs: start flow: OnEnqueue changed the number of jobs")
		}
		receipts, duplicate, err := q.start(ctx, f, changed)
		receipt.Duplicate = duplicate
		return receipts, err
	})
	if err == nil && !called {
		err = errors.New("jobs: start flow: OnEnqueue did not call next")
	}
	if err != nil {
		return Receipt{}, err
	}
	return receipt, nil
}

func (f *Flow) check() error {
	total := 0
	for i, stage := range f.Stages {
		if len(stage) == 0 {
			return fmt.Errorf("Flow.Stages: stage %d has no jobs", i)
		}
		total += len(stage)
	}
	switch {
	case len(f.Stages) == 0 || len(f.Stages) > driver.MaxFlowStages:
		return fmt.Errorf("Flow.Stages: want 1 to %d, have %d", driver.MaxFlowStages, len(f.Stages))
	case total > driver.MaxFlowJobs:
		return fmt.Errorf("Flow.Stages have %d jobs, the limit is %d", total, driver.MaxFlowJobs)
	case f.Policy != FailFast && f.Policy != WaitAll && f.Policy != Ignore:
		return fmt.Errorf("Flow.Policy %.20q is unknown", f.Policy)
	case f.Keep < 0:
		return errors.New("Flow.Keep is negative")
	case len(f.ID) > driver.MaxFlowID:
		return fmt.Errorf("Flow.ID is longer than %d bytes", driver.MaxFlowID)
	case len(f.Name) > maxName:
		return fmt.Errorf("Flow.Name is longer than %d bytes", maxName)
	case f.ID != "":
		return checkName("Flow.ID", f.ID)
	}
	return nil
}

// start stores the parts of a flow.
func (q *Queue) start(ctx context.Context, f Flow, items []Item) ([]Receipt, bool, error) {
	part, err := q.opts.newFlow(ctx, f)
	if err != nil {
		return nil, false, err
	}
	all, err := q.opts.flowJobs(ctx, f, part.Tenant, items)
	if err != nil {
		return nil, false, err
	}
	part.MaxDepth = q.opts.maxDepth()
	duplicate := false
	for first := true; first || part.From < len(all); first = false {
		part.Jobs = all[part.From:batchEnd(all, part.From)]
		stored, err := q.driver.(driver.Flower).StartFlow(ctx, part)
		if err != nil {
			return nil, false, fmt.Errorf("jobs: start flow %s: %w", f.ID, err)
		}
		duplicate = first && stored.Existed && stored.Next == len(all)
		part.From = stored.Next
	}
	receipts := make([]Receipt, len(all))
	for i, job := range all {
		receipts[i] = Receipt{ID: job.ID, Duplicate: duplicate}
		if !duplicate {
			receipts[i] = q.receipt(ctx, job, driver.Pushed{})
		}
	}
	return receipts, duplicate, nil
}

// newFlow makes all of a flow but its jobs.
func (o *Options) newFlow(ctx context.Context, f Flow) (driver.FlowPart, error) {
	tenant, err := o.tenant(ctx, &EnqueueOptions{NoTenant: f.NoTenant})
	if err != nil {
		return driver.FlowPart{}, err
	}
	part := driver.FlowPart{ID: f.ID, Name: f.Name, Tenant: tenant, Policy: f.Policy, Keep: f.Keep}
	if f.Keep == 0 {
		part.Keep = defaultKeep
	}
	for _, stage := range f.Stages {
		part.Sizes = append(part.Sizes, len(stage))
	}
	if f.OnFailure != nil {
		job, err := o.flowJob(ctx, *f.OnFailure, f.NoTenant, tenant, driver.FailureID(f.ID))
		if err != nil {
			return driver.FlowPart{}, fmt.Errorf("jobs: start flow: OnFailure: %w", err)
		}
		part.OnFailure = &job
	}
	return part, nil
}

// flowJobs makes the jobs of a flow.
func (o *Options) flowJobs(ctx context.Context, f Flow, tenant string, items []Item) ([]driver.Job, error) {
	var all []driver.Job
	for stage, names := range f.Stages {
		for i := range names {
			job, err := o.flowJob(ctx, items[len(all)], f.NoTenant, tenant, driver.FlowJobID(f.ID, stage, i))
			if err != nil {
				return nil, fmt.Errorf("jobs: start flow: stage %d, job %d: %w", stage, i, err)
			}
			all = append(all, job)
		}
	}
	return all, nil
}

func (o *Options) flowJob(ctx context.Context, item Item, noTenant bool, tenant, id string) (driver.Job, error) {
	if own := item.Options; own != nil {
		switch {
		case own.ID != "":
			return driver.Job{}, errors.New("EnqueueOptions.ID is set; jobs of a flow get theirs from it")
		case own.Key != "" || own.Scope != "" || own.Window != 0:
			return driver.Job{}, errors.New("EnqueueOptions has a Key, Scope or Window; jobs of a flow cannot be unique")
		}
	}
	opts := *withDefaults(item.Args, item.Options)
	opts.ID, opts.Key, opts.Scope, opts.Window = "", "", "", 0 // those of its type are for jobs that come alone
	opts.NoTenant = opts.NoTenant || noTenant
	own, err := o.tenant(ctx, &opts)
	if err != nil {
		return driver.Job{}, err
	}
	job, err := o.jobOf(ctx, own, item.Args, &opts, id)
	if err != nil {
		return driver.Job{}, err
	}
	if own != tenant {
		return driver.Job{}, errors.New("the job belongs to no tenant and its flow does; set Flow.NoTenant")
	}
	return job, nil
}
