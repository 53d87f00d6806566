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
		s.Body = bodyOf(r.text())
		setMeta(&s, r.text())
		setTime(&s, at, r.text())
		page = append(page, s)
	}
	return page, r.err
}

// setTime reads when a job is due, died or finished. A kept result is
// "<finished ms> <result>".
func setTime(s *driver.Stored, score, result string) {
	switch s.State {
	case driver.Scheduled, driver.Dead:
		s.At = scoreTime(score)
	case driver.Done:
		at, value, _ := strings.Cut(result, " ")
		s.At = scoreTime(at)
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

// holders answers which worker holds which job.
func (d *Driver) holders(ctx context.Context) (map[string]string, error) {
	workers, err := d.rdb.ZRange(ctx, d.key("lease", ""), 0, -1).Result()
	if err != nil {
		return nil, err
	}
	pipe := d.rdb.Pipeline()
	keys := make([]*redis.StringSliceCmd, len(workers))
	for i, w := range workers {
		keys[i] = pipe.HKeys(ctx, d.key("held", w))
	}
	if len(workers) > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, err
		}
	}
	held := map[string]string{}
	for i, w := range workers {
		for _, id := range keys[i].Val() {
			if id != "@" {
				held[id] = w
			}
		}
	}
	return held, nil
}

// running lists by id. It reads the hash of each worker in turn, so a job that
// changes hands meanwhile may be missing.
func (d *Driver) running(ctx context.Context, q driver.ListQuery) ([]driver.Stored, error) {
	held, err := d.holders(ctx)
	if err != nil {
		return nil, fmt.Errorf("redisjobs: list: %w", err)
	}
	ids := make([]string, 0, len(held))
	for id := range held {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	ids = ids[min(q.Offset, len(ids)):]
	ids = ids[:min(q.Limit, len(ids))]
	found, err := d.find(ctx, ids, held)
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
	return d.find(ctx, ids, nil)
}

func (d *Driver) find(ctx context.Context, ids []string, held map[string]string) ([]driver.Stored, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	r, err := d.do(ctx, find, "", args...)
	if err != nil {
		return nil, err
	}
	found := make([]driver.Stored, len(ids))
	for i, id := range ids {
		s := driver.Stored{ID: id, State: driver.State(r.text())}
		at := r.text()
		s.Body = bodyOf(r.text())
		setMeta(&s, r.text())
		setTime(&s, at, r.text())
		note, since := r.text(), r.text()
		if since != "" {
			s.Since = scoreTime(since)
		}
		if s.State == driver.Running {
			if note != "" {
				s.Progress = []byte(note)
			}
			if held == nil {
				if held, err = d.holders(ctx); err != nil {
					return nil, fmt.Errorf("redisjobs: find: %w", err)
				}
			}
			s.Worker = held[id]
		}
		if s.State == "" {
			s = driver.Stored{ID: id}
		}
		found[i] = s
	}
	return found, r.err
}

// Resolve implements driver.Driver.
func (d *Driver) Resolve(ctx context.Context, ids []string, how driver.Resolution) (int, error) {
	return d.resolve(ctx, ids, driver.Filter{}, how)
}

// resolve goes without a filter if that names no state.
func (d *Driver) resolve(ctx context.Context, ids []string, f driver.Filter, how driver.Resolution) (int, error) {
	if how != driver.Requeue && how != driver.Delete && how != driver.Cancel {
		return 0, errors.New("redisjobs: resolve: unknown resolution")
	}
	args := make([]any, 0, 7+len(ids))
	args = append(args, string(how), d.channel())
	args = appendFilter(args, f)
	args = append(args, anys(ids)...)
	r, err := d.do(ctx, resolve, "", args...)
	if err != nil {
		return 0, err
	}
	return int(r.int()), r.err
}
