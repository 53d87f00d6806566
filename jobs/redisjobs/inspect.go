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

// heldIDs are the jobs that all workers hold, in order.
func (d *Driver) heldIDs(ctx context.Context) ([]string, error) {
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
	var ids []string
	for _, held := range keys {
		ids = append(ids, held.Val()...)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == "@" })
	slices.Sort(ids)
	return slices.Compact(ids), nil // one may have changed hands meanwhile
}

// setHolds notes in jobs that run who holds them and since when their handlers
// run, "<seq>@<ms> …" in lua/part_route.lua.
func (d *Driver) setHolds(ctx context.Context, running []*driver.Stored) error {
	if len(running) == 0 {
		return nil
	}
	workers, err := d.workerIDs(ctx)
	if err != nil || len(workers) == 0 {
		return err
	}
	ids := make([]string, len(running))
	for i, s := range running {
		ids[i] = s.ID
	}
	pipe := d.rdb.Pipeline()
	holds := make([]*redis.SliceCmd, len(workers))
	for i, w := range workers {
		holds[i] = pipe.HMGet(ctx, d.key("held", w), ids...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for i, w := range workers {
		for n, value := range holds[i].Val() {
			hold, ok := value.(string)
			if !ok {
				continue
			}
			running[n].Worker = w
			hold, _, _ = strings.Cut(hold, " ")
			if _, ms, told := strings.Cut(hold, "@"); told {
				running[n].Started = scoreTime(ms)
			}
		}
	}
	return nil
}

// running lists by id. It reads the hash of each worker in turn, so a job that
// changes hands meanwhile may be missing.
func (d *Driver) running(ctx context.Context, q driver.ListQuery) ([]driver.Stored, error) {
	ids, err := d.heldIDs(ctx)
	if err != nil {
		return nil, fmt.Errorf("redisjobs: list: %w", err)
	}
	ids = ids[min(q.Offset, len(ids)):]
	found, err := d.Find(ctx, ids[:min(q.Limit, len(ids))])
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(s driver.Stored) bool { return s.State != driver.Running }), nil
}

// Find implements driver.Finder.
func (d *Driver) Find(ctx context.Context, ids []string) ([]driver.Stored, error) {
	if err := bounded("find", len(ids)); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, nil
	}
	r, err := d.do(ctx, find, "", anys(ids)...)
	if err != nil {
		return nil, err
	}
	found := make([]driver.Stored, len(ids))
	var running []*driver.Stored
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
		found[i] = s
		if s.State == driver.Running {
			if note != "" {
				found[i].Progress = []byte(note)
			}
			running = append(running, &found[i])
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := d.setHolds(ctx, running); err != nil {
		return nil, fmt.Errorf("redisjobs: find: %w", err)
	}
	return found, nil
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
