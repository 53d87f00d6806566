package redisjobs

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Stats implements driver.Driver.
func (d *Driver) Stats(ctx context.Context) (driver.Stats, error) {
	reply, err := d.do(ctx, stats, "")
	if err != nil {
		return driver.Stats{}, err
	}
	r := reader{op: "stats", items: asList(reply)}
	s := driver.Stats{Ready: int(r.int()), Scheduled: int(r.int()), Running: int(r.int()), Dead: int(r.int())}
	return s, r.err
}

// List implements driver.Driver.
func (d *Driver) List(ctx context.Context, q driver.ListQuery) ([]driver.Stored, error) {
	set, order := "", "asc"
	switch q.State {
	case driver.Ready:
		set = "ready"
	case driver.Scheduled:
		set = "due"
	case driver.Dead:
		set, order = "dead", "desc"
	default:
		return nil, fmt.Errorf("redisjobs: list: unknown state %q", q.State)
	}
	reply, err := d.do(ctx, list, set, q.Offset, q.Offset+q.Limit-1, order)
	if err != nil {
		return nil, err
	}
	r := reader{op: "list", items: asList(reply)}
	var page []driver.Stored
	for len(r.items) > 0 && r.err == nil {
		s := driver.Stored{ID: r.text()}
		if score := r.text(); q.State != driver.Ready {
			s.At = scoreTime(score)
		}
		s.Body = []byte(r.text())
		setMeta(&s, r.text())
		page = append(page, s)
	}
	return page, r.err
}

// scoreTime reads milliseconds; servers write large scores with an exponent.
func scoreTime(score string) time.Time {
	var ms float64
	if _, err := fmt.Sscan(score, &ms); err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

// Resolve implements driver.Driver.
func (d *Driver) Resolve(ctx context.Context, ids []string, how driver.Resolution) (int, error) {
	args := make([]any, 0, 1+len(ids))
	args = append(args, string(how))
	for _, id := range ids {
		args = append(args, id)
	}
	reply, err := d.do(ctx, resolve, "", args...)
	if err != nil {
		return 0, err
	}
	r := reader{op: "resolve", items: []any{reply}}
	return int(r.int()), r.err
}
