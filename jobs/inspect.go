package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Entry is a job as operators see it.
type Entry struct {
	Info     Info
	State    State
	Args     json.RawMessage
	Sealed   bool      // Options.Codec has sealed the arguments, and the result: Args is nil
	SealedBy string    // the name of the arguments' key, if this queue's Options.Codec tells it (KeyOf)
	Error    string    // of the last attempt
	At       time.Time // when it is due, died or finished; zero for others
	Enqueued time.Time // by its producer's clock; zero if its id is not one that this package made
	Since    time.Time // when it could run first: enqueued, due, fired or its stage begun; zero if that is not known, as for ended jobs of a flow
	Worker   string    // running: the id of the worker that holds it
	Progress []byte    // running: the latest that its handler told, JSON
	Result   []byte    // done: JSON

	// Started is when the handler of the last attempt began, by the store's clock.
	// Zero means that it is not known: of a running job it is told with a beat, a
	// third of Options.Lease apart, once it has run for a fifteenth of that, so that
	// short jobs cost nothing. Of one that ended it is as late as that was told.
	Started  time.Time
	Took     time.Duration // done and dead: what that handler took, rounded up to milliseconds; zero if it is not known
	Failures []Failure     // the latest three, latest first; a requeued job has none
}

// Stats counts the jobs of the queue by state, in constant time.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	stats, err := q.driver.Stats(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("jobs: stats: %w", err)
	}
	return stats, nil
}

// List pages through the jobs of one state: ready ones in the order in which
// they run, scheduled ones by due time, dead and done ones latest first. Limit
// is 1 to 500.
//
// With a tenant in ctx it lists the jobs of the tenant, which are what offset
// counts then, among the first 10,000 of all.
func (q *Queue) List(ctx context.Context, state State, offset, limit int) ([]Entry, error) {
	return narrow(ctx, q, offset, limit,
		func(offset, limit int) ([]Entry, error) { return q.list(ctx, state, offset, limit) },
		func(e Entry) string { return e.Info.Tenant })
}

// list sees the jobs of all tenants.
func (q *Queue) list(ctx context.Context, state State, offset, limit int) ([]Entry, error) {
	if limit < 1 || limit > driver.MaxBatch || offset < 0 {
		return nil, fmt.Errorf("jobs: list: want a limit of 1 to %d and an offset of at least 0", driver.MaxBatch)
	}
	switch state {
	case Ready, Scheduled, Parked, Running, Dead, Done:
	default:
		return nil, fmt.Errorf("jobs: list: unknown state %q", state)
	}
	stored, err := q.driver.List(ctx, driver.ListQuery{State: state, Offset: offset, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("jobs: list: %w", err)
	}
	entries := make([]Entry, len(stored))
	for i, s := range stored {
		s.State = state
		entries[i] = q.entry(s)
	}
	return entries, nil
}

// entry shows an unreadable job by its id.
func (q *Queue) entry(s driver.Stored) Entry {
	env, _ := decode(s.Body)
	e := Entry{
		Info: q.info(s, env), State: s.State, Args: env.Args, Sealed: env.Sealed != nil, Error: s.Error, At: s.At,
		Worker: s.Worker, Progress: s.Progress, Result: s.Result,
	}
	e.SealedBy, _ = q.opts.keyOf(env.Sealed)
	e.Enqueued, _ = idTime(s.ID)
	e.Since = dueSince(s, env)
	e.Failures = s.Failures
	switch s.State {
	case Running:
		e.Started = s.Started
	case Done:
		e.Took = s.Took
	case Dead:
		e.Info.Attempt = s.Attempts // none is to come
		if len(s.Failures) > 0 {
			e.Took = s.Failures[0].Took
		}
	}
	if e.Took > 0 {
		e.Started = e.At.Add(-e.Took)
	}
	return e
}

// Filter selects jobs of one state, which must be named: that of a zero Filter
// is an error. An empty Kind, Tenant or Error selects all.
type Filter = driver.Filter

// selects needs no look at State: jobs are listed by it.
func selects(f Filter, e Entry) bool {
	return (f.Kind == "" || f.Kind == e.Info.Kind) && (f.Tenant == "" || f.Tenant == e.Info.Tenant) &&
		strings.Contains(e.Error, f.Error) && (!f.Retried || e.Info.Attempt > 1)
}

// maxSearch bounds the jobs that one Search reads.
const maxSearch = 10_000

// Search is List for the jobs that a filter selects, of which it answers up to
// limit. One call looks at 10,000 jobs at most; next is the offset to go on
// with, or negative at the end. A limit below 1 is an error. With a tenant in
// ctx the filter is for that tenant, and one for another selects nothing.
func (q *Queue) Search(ctx context.Context, f Filter, offset, limit int) (found []Entry, next int, err error) {
	if limit < 1 {
		return nil, 0, fmt.Errorf("jobs: search: limit is %d, not 1 or more", limit)
	}
	f, ok := q.within(ctx, f)
	if !ok {
		return nil, -1, nil
	}
	page := driver.MaxBatch
	if f == (Filter{State: f.State}) {
		page = min(limit, driver.MaxBatch)
	}
	for seen := 0; seen < maxSearch; seen += page {
		entries, err := q.list(ctx, f.State, offset, page)
		if err != nil {
			return nil, 0, err
		}
		for i, e := range entries {
			if !selects(f, e) {
				continue
			}
			if len(found) == limit {
				return found, offset + i, nil
			}
			found = append(found, e)
		}
		if len(entries) < page {
			return found, -1, nil
		}
		offset += len(entries)
	}
	return found, offset, nil
}

// Find looks jobs up by their ids and answers those that exist, in the order
// of the ids. A finished job exists only while it is kept. With a tenant in ctx
// it finds those of the tenant only.
func (q *Queue) Find(ctx context.Context, ids ...string) ([]Entry, error) {
	found, err := q.find(ctx, ids)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, s := range found {
		if s.State != "" {
			entries = append(entries, q.entry(s))
		}
	}
	return entries, nil
}

// find answers one Stored for each id, in their order: one without a state for
// a job that does not exist, or not for the tenant of ctx.
func (q *Queue) find(ctx context.Context, ids []string) ([]driver.Stored, error) {
	finder, ok := q.driver.(driver.Finder)
	if !ok {
		return nil, fmt.Errorf("jobs: find: the driver cannot: %w", errors.ErrUnsupported)
	}
	var found []driver.Stored
	for part := range slices.Chunk(ids, driver.MaxBatch) {
		stored, err := finder.Find(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("jobs: find: %w", err)
		}
		found = append(found, stored...)
	}
	if tenant := q.contextTenant(ctx); tenant != "" {
		for i, s := range found {
			if env, _ := decode(s.Body); env.Tenant != tenant {
				found[i] = driver.Stored{ID: s.ID}
			}
		}
	}
	return found, nil
}

// History answers what the queue did in each minute since an instant, oldest
// first, by the store's clock; a minute in which nothing happened is missing.
// It goes back 24 hours. Workers report with every beat, a third of
// Options.Lease apart.
func (q *Queue) History(ctx context.Context, since time.Time) ([]Minute, error) {
	historian, ok := q.driver.(driver.Historian)
	if !ok {
		return nil, fmt.Errorf("jobs: history: the driver cannot: %w", errors.ErrUnsupported)
	}
	minutes, err := historian.History(ctx, since)
	if err != nil {
		return nil, fmt.Errorf("jobs: history: %w", err)
	}
	return minutes, nil
}

// Requeue makes dead jobs ready again, with all their attempts before them,
// and scheduled ones at once. It answers how many of the ids were either. Like
// Delete and Cancel it finds the jobs that Find finds.
//
// A dead job that had an EnqueueOptions.Key takes it back, until it is finished
// or, as its scope says, started; if another job has the key by now, both run.
// A job of a flow that has ended runs for itself: the flow stays as it ended.
// To have the whole of it again, Start it anew.
func (q *Queue) Requeue(ctx context.Context, ids ...string) (int, error) {
	return q.resolve(ctx, ids, driver.Requeue)
}

// Delete forgets dead and done jobs for ever and answers how many there were.
func (q *Queue) Delete(ctx context.Context, ids ...string) (int, error) {
	return q.resolve(ctx, ids, driver.Delete)
}

// Cancel forgets unfinished jobs that wait, and ends the contexts of the
// handlers of those that run, with the cause ErrCancelled; a handler that then
// returns nil has finished its job, any other answer leaves it cancelled.
// Cancel answers how many of the ids were unfinished jobs. A job of a later stage
// of a flow is none yet: CancelFlow ends the whole.
func (q *Queue) Cancel(ctx context.Context, ids ...string) (int, error) {
	return q.resolve(ctx, ids, driver.Cancel)
}

func (q *Queue) resolve(ctx context.Context, ids []string, how driver.Resolution) (int, error) {
	ids, err := q.reachable(ctx, ids)
	if err != nil {
		return 0, err
	}
	total := 0
	for part := range slices.Chunk(ids, driver.MaxBatch) {
		n, err := q.driver.Resolve(ctx, part, how)
		total += n
		if err != nil {
			return total, fmt.Errorf("jobs: %s: %w", how, err)
		}
	}
	return total, nil
}

// reachable leaves out the jobs that are not the tenant's, if ctx has one.
func (q *Queue) reachable(ctx context.Context, ids []string) ([]string, error) {
	if q.contextTenant(ctx) == "" {
		return ids, nil
	}
	found, err := q.find(ctx, ids)
	if err != nil {
		return nil, err
	}
	var reached []string
	for _, s := range found {
		if s.State != "" {
			reached = append(reached, s.ID)
		}
	}
	return reached, nil
}

func (q *Queue) info(s driver.Stored, env envelope) Info {
	info := Info{
		ID: s.ID, Kind: env.Kind, Tenant: env.Tenant,
		Attempt: s.Attempts + 1, MaxAttempts: env.MaxAttempts,
		Crashes: s.Crashes, LastError: s.Error,
	}
	if i := strings.IndexByte(s.ID, '~'); i > 0 {
		info.Flow = s.ID[:i]
	}
	if info.MaxAttempts == 0 {
		info.MaxAttempts = q.opts.maxAttempts()
	}
	return info
}
