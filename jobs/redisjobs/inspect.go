package redisjobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Stats implements driver.Driver.
func (d *Driver) Stats(ctx context.Context) (driver.Stats, error) {
	r, err := d.do(ctx, stats, "")
	if err != nil {
		return driver.Stats{}, err
	}
	s := driver.Stats{
		Ready: int(r.int()), Scheduled: int(r.int()), Parked: int(r.int()),
		Running: int(r.int()), Dead: int(r.int()), Done: int(r.int()),
	}
	return s, r.err
}

// List implements driver.Driver.
func (d *Driver) List(ctx context.Context, q driver.ListQuery) ([]driver.Stored, error) {
	if err := paged("list", q.Offset, q.Limit); err != nil {
		return nil, err
	}
	if q.State == driver.Running {
		return d.running(ctx, q)
	}
	set, order := sets[q.State], "asc"
	if set == "" {
		return nil, fmt.Errorf("redisjobs: list: unknown state %q", q.State)
	}
	if q.State == driver.Dead || q.State == driver.Done {
		order = "desc"
	}
	r, err := d.do(ctx, list, set, q.Offset, q.Offset+q.Limit-1, order, flag(q.State == driver.Parked))
	if err != nil {
		return nil, err
	}
	var page []driver.Stored
	for len(r.items) > 0 && r.err == nil {
		s := driver.Stored{ID: r.text(), State: q.State}
		at := r.text()
		s.Tenant, s.Body = readStored(r.text())
		setMeta(&s, r.text())
		setTime(&s, at, r.text())
		page = append(page, s)
	}
	return page, r.err
}

// setTime reads when a job is due, died or finished, and of a kept result,
// "<finished ms>+<took ms> <result>", the rest; see lua/part_end.lua.
func setTime(s *driver.Stored, score, result string) {
	switch s.State {
	case driver.Scheduled, driver.Dead:
		s.At = scoreTime(score)
	case driver.Done:
		at, value, _ := strings.Cut(result, " ")
		at, took, _ := strings.Cut(at, "+")
		s.At = scoreTime(at)
		if ms, err := strconv.ParseInt(took, 10, 64); err == nil {
			s.Took = time.Duration(ms) * time.Millisecond
		}
		if value != "" {
			s.Result = []byte(value)
		}
	}
}

// scoreTime reads milliseconds; servers write large scores with an exponent.
func scoreTime(score string) time.Time {
	ms, err := strconv.ParseFloat(score, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

// workerIDs are those that have a lease.
func (d *Driver) workerIDs(ctx context.Context) ([]string, error) {
	return d.rdb.ZRange(ctx, d.key("lease", ""), 0, -1).Result()
}

// hold is a job in the hands of a worker.
type hold struct{ id, worker string }

// holds are those of all workers, in the order of the ids.
func (d *Driver) holds(ctx context.Context) ([]hold, error) {
	workers, err := d.workerIDs(ctx)
	if err != nil || len(workers) == 0 {
		return nil, err
	}
	pipe := d.rdb.Pipeline()
	keys := make([]*redis.StringSliceCmd, len(workers))
	for i, w := range workers {
		keys[i] = pipe.HKeys(ctx, d.key("held", w))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	var all []hold
	for i, w := range workers {
		for _, id := range keys[i].Val() {
			if id != "@" {
				all = append(all, hold{id, w})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b hold) int { return strings.Compare(a.id, b.id) })
	return slices.CompactFunc(all, func(a, b hold) bool { return a.id == b.id }), nil // one may have changed hands meanwhile
}

// setHolds asks workers which of some jobs they hold, and notes that in those, with
// since when their handlers run, "<seq>@<ms> …" in lua/part_route.lua.
func (d *Driver) setHolds(ctx context.Context, asked map[string][]*driver.Stored) error {
	if len(asked) == 0 {
		return nil
	}
	pipe := d.rdb.Pipeline()
	holds := make(map[string]*redis.SliceCmd, len(asked))
	for w, jobs := range asked {
		ids := make([]string, len(jobs))
		for i, s := range jobs {
			ids[i] = s.ID
		}
		holds[w] = pipe.HMGet(ctx, d.key("held", w), ids...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for w, jobs := range asked {
		for i, value := range holds[w].Val() {
			hold, ok := value.(string)
			if !ok {
				continue
			}
			jobs[i].Worker = w
			hold, _, _ = strings.Cut(hold, " ")
			if _, ms, told := strings.Cut(hold, "@"); told {
				jobs[i].Started = scoreTime(ms)
			}
		}
	}
	return nil
}

// running lists by id. It reads the hash of each worker in turn, so a job that
// changes hands meanwhile may be missing, or be without its worker.
func (d *Driver) running(ctx context.Context, q driver.ListQuery) ([]driver.Stored, error) {
	page, err := d.holds(ctx)
	if err != nil {
		return nil, fmt.Errorf("redisjobs: list: %w", err)
	}
	page = page[min(q.Offset, len(page)):]
	page = page[:min(q.Limit, len(page))]
	if len(page) == 0 {
		return nil, nil
	}
	ids := make([]string, len(page))
	for i, h := range page {
		ids[i] = h.id
	}
	found, err := d.find(ctx, ids)
	if err != nil {
		return nil, err
	}
	asked := map[string][]*driver.Stored{}
	for i, h := range page {
		if found[i].State == driver.Running {
			asked[h.worker] = append(asked[h.worker], &found[i])
		}
	}
	if err := d.setHolds(ctx, asked); err != nil {
		return nil, fmt.Errorf("redisjobs: list: %w", err)
	}
	return slices.DeleteFunc(found, func(s driver.Stored) bool { return s.State != driver.Running }), nil
}

// Find implements driver.Finder. Who holds a job is not stored beside it: all
// workers are asked for those that run.
func (d *Driver) Find(ctx context.Context, ids []string) ([]driver.Stored, error) {
	if err := bounded("find", len(ids)); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := d.find(ctx, ids)
	if err != nil {
		return nil, err
	}
	var running []*driver.Stored
	for i := range found {
		if found[i].State == driver.Running {
			running = append(running, &found[i])
		}
	}
	if len(running) == 0 {
		return found, nil
	}
	workers, err := d.workerIDs(ctx)
	if err == nil {
		asked := make(map[string][]*driver.Stored, len(workers))
		for _, w := range workers {
			asked[w] = running
		}
		err = d.setHolds(ctx, asked)
	}
	if err != nil {
		return nil, fmt.Errorf("redisjobs: find: %w", err)
	}
	return found, nil
}

// find leaves open who holds the jobs that run.
func (d *Driver) find(ctx context.Context, ids []string) ([]driver.Stored, error) {
	r, err := d.do(ctx, find, "", anys(ids)...)
	if err != nil {
		return nil, err
	}
	found := make([]driver.Stored, len(ids))
	for i, id := range ids {
		s := driver.Stored{ID: id, State: driver.State(r.text())}
		at := r.text()
		s.Tenant, s.Body = readStored(r.text())
		setMeta(&s, r.text())
		setTime(&s, at, r.text())
		note, since := r.text(), r.text()
		if since != "" {
			s.Since = scoreTime(since)
		}
		if s.State == "" {
			s = driver.Stored{ID: id}
		}
		if s.State == driver.Running && note != "" {
			s.Progress = []byte(note)
		}
		found[i] = s
	}
	return found, r.err
}

// Resolve implements driver.Driver.
func (d *Driver) Resolve(ctx context.Context, ids []string, how driver.Resolution) (int, error) {
	return d.resolve(ctx, ids, driver.Filter{}, how)
}

// resolve goes without a filter if that names no state. It makes as many calls as
// the script wants.
func (d *Driver) resolve(ctx context.Context, ids []string, f driver.Filter, how driver.Resolution) (int, error) {
	if how != driver.Requeue && how != driver.Delete && how != driver.Cancel {
		return 0, errors.New("redisjobs: resolve: unknown resolution")
	}
	total := 0
	for len(ids) > 0 {
		args := make([]any, 0, 7+len(ids))
		args = append(args, string(how), d.channel())
		args = appendFilter(args, f)
		r, err := d.do(ctx, resolve, "", append(args, anys(ids)...)...)
		if err != nil {
			return total, err
		}
		found, looked := int(r.int()), int(r.int())
		if r.err == nil && (looked < 1 || looked > len(ids)) {
			r.fail()
		}
		if r.err != nil {
			return total, r.err
		}
		total, ids = total+found, ids[looked:]
	}
	return total, nil
}
