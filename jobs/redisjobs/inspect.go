package redisjobs

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
)

// Stats implements jobs.Driver.
func (d *Driver) Stats(ctx context.Context) (jobs.Stats, error) {
	reply, err := d.do(ctx, stats, "")
	if err != nil {
		return jobs.Stats{}, err
	}
	r := reader{op: "stats", items: asList(reply)}
	s := jobs.Stats{Ready: int(r.int()), Scheduled: int(r.int()), Running: int(r.int()), Dead: int(r.int())}
	return s, r.err
}

// List implements jobs.Driver.
func (d *Driver) List(ctx context.Context, q jobs.ListQuery) ([]jobs.Stored, error) {
	set, order := "", "asc"
	switch q.State {
	case jobs.Ready:
		set = "ready"
	case jobs.Scheduled:
		set = "due"
	case jobs.Dead:
		set, order = "dead", "desc"
	default:
		return nil, fmt.Errorf("redisjobs: list: unknown state %q", q.State)
	}
	reply, err := d.do(ctx, list, set, q.Offset, q.Offset+q.Limit-1, order)
	if err != nil {
		return nil, err
	}
	r := reader{op: "list", items: asList(reply)}
	var page []jobs.Stored
	for len(r.items) > 0 && r.err == nil {
		s := jobs.Stored{ID: r.text()}
		if score := r.text(); q.State != jobs.Ready {
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

// Resolve implements jobs.Driver.
func (d *Driver) Resolve(ctx context.Context, ids []string, how jobs.Resolution) (int, error) {
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
