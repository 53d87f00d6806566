package redisjobs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func appendFilter(args []any, f driver.Filter) []any {
	return append(args, string(f.State), f.Kind, f.Tenant, f.Error, flag(f.Retried))
}

// sets are where the jobs of a state stand in order. Those that run stand in none.
var sets = map[driver.State]string{
	driver.Ready: "ready", driver.Scheduled: "due", driver.Parked: "parked", driver.Dead: "dead", driver.Done: "done",
}

// matchCursor is a place in a set and the last one to look at: in a sorted set
// both have a score and a member, among running jobs they are ids.
type matchCursor struct{ score, member, lastScore, lastMember string }

// String is what parseCursor reads; blanks part the fields, which may be of any bytes.
func (c matchCursor) String() string {
	fields := []string{c.score, c.member, c.lastScore, c.lastMember}
	for i, f := range fields {
		fields[i] = url.QueryEscape(f)
	}
	return strings.Join(fields, " ")
}

func parseCursor(text string) (c matchCursor, err error) {
	if text == "" {
		return c, nil
	}
	fields := strings.Split(text, " ")
	if len(fields) != 4 {
		return c, errors.New("redisjobs: match: bad cursor")
	}
	for i, to := range []*string{&c.score, &c.member, &c.lastScore, &c.lastMember} {
		if *to, err = url.QueryUnescape(fields[i]); err != nil {
			return c, fmt.Errorf("redisjobs: match: bad cursor: %w", err)
		}
	}
	return c, nil
}

// Match implements driver.Sweeper.
func (d *Driver) Match(ctx context.Context, f driver.Filter, cursor string) (ids []string, next string, err error) {
	c, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	if f.State == driver.Running {
		return d.matchRunning(ctx, f, c)
	}
	set := sets[f.State]
	if set == "" {
		return nil, "", fmt.Errorf("redisjobs: match: unknown state %q", f.State)
	}
	ids, more, c, err := d.match(ctx, f, set, c, nil)
	if err != nil || !more {
		return ids, "", err
	}
	return ids, c.String(), nil
}

func (d *Driver) match(ctx context.Context, f driver.Filter, set string, c matchCursor, among []string) (ids []string, more bool, next matchCursor, err error) {
	args := appendFilter(make([]any, 0, 10+len(among)), f)
	args = append(args, driver.MaxBatch, c.score, c.member, c.lastScore, c.lastMember)
	r, err := d.do(ctx, match, set, append(args, anys(among)...)...)
	if err != nil {
		return nil, false, c, err
	}
	more = r.int() == 1
	next = matchCursor{r.text(), r.text(), r.text(), r.text()}
	return r.items, more, next, r.err
}

// matchRunning goes through the ids of what all workers hold.
func (d *Driver) matchRunning(ctx context.Context, f driver.Filter, c matchCursor) ([]string, string, error) {
	all, err := d.holds(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("redisjobs: match: %w", err)
	}
	if len(all) == 0 {
		return nil, "", nil
	}
	if c.lastMember == "" {
		c.lastMember = all[len(all)-1].id
	}
	var page []string
	for _, h := range all {
		if h.id > c.member && h.id <= c.lastMember {
			page = append(page, h.id)
		}
	}
	more := len(page) > driver.MaxBatch
	page = page[:min(len(page), driver.MaxBatch)]
	if len(page) == 0 {
		return nil, "", nil
	}
	ids, unfinished, seen, err := d.match(ctx, f, "ready", matchCursor{}, page)
	if err != nil || !more && !unfinished {
		return ids, "", err
	}
	c.member = seen.member
	return ids, c.String(), nil
}

// ResolveMatching implements driver.Sweeper.
func (d *Driver) ResolveMatching(ctx context.Context, ids []string, f driver.Filter, how driver.Resolution) (int, error) {
	if err := bounded("resolve", len(ids)); err != nil {
		return 0, err
	}
	if f.State == "" {
		return 0, errors.New("redisjobs: resolve: the filter names no state")
	}
	return d.resolve(ctx, ids, f, how)
}
