package jobstest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// matches tells whether a filter selects a job.
func matches(f driver.Filter, j *job) bool {
	first := 1
	if f.State == driver.Dead {
		first = 2
	}
	return j.state == f.State && (f.Kind == "" || f.Kind == j.Kind) && (f.Tenant == "" || f.Tenant == j.Tenant) &&
		strings.Contains(j.err, f.Error) && (!f.Retried || j.attempts >= first)
}

// spot is a place among the jobs of a state, by time and id.
type spot struct {
	At time.Time
	ID string
}

func (s spot) compare(o spot) int { return cmp.Or(s.At.Compare(o.At), cmp.Compare(s.ID, o.ID)) }

// sweepCursor is the last spot that was looked at, and the last to look at.
type sweepCursor struct{ Seen, Last spot }

// Match implements driver.Sweeper.
func (d *Driver) Match(ctx context.Context, f driver.Filter, cursor string) (ids []string, next string, err error) {
	err = d.call(ctx, OpInspect, func() error {
		switch f.State {
		case driver.Ready, driver.Scheduled, driver.Parked, driver.Running, driver.Dead, driver.Done:
		default:
			return fmt.Errorf("jobstest: match: unknown state %q", f.State)
		}
		var all []spot
		for _, j := range d.in(f.State) {
			all = append(all, spot{j.at, j.ID})
		}
		slices.SortFunc(all, spot.compare)
		var c sweepCursor
		if cursor != "" {
			if err := json.Unmarshal([]byte(cursor), &c); err != nil {
				return fmt.Errorf("jobstest: match: bad cursor: %w", err)
			}
		} else if len(all) > 0 {
			c.Last = all[len(all)-1]
		}
		all = slices.DeleteFunc(all, func(s spot) bool { return cursor != "" && s.compare(c.Seen) <= 0 || s.compare(c.Last) > 0 })
		page := all[:min(len(all), driver.MaxBatch)]
		for _, s := range page {
			if matches(f, d.jobs[s.ID]) {
				ids = append(ids, s.ID)
			}
		}
		if len(page) == len(all) {
			return nil
		}
		c.Seen = page[len(page)-1]
		text, err := json.Marshal(c)
		next = string(text)
		return err
	})
	return ids, next, err
}

// ResolveMatching implements driver.Sweeper.
func (d *Driver) ResolveMatching(ctx context.Context, ids []string, f driver.Filter, how driver.Resolution) (int, error) {
	if err := bounded("resolve", len(ids)); err != nil {
		return 0, err
	}
	if f.State == "" {
		return 0, errors.New("jobstest: resolve: the filter names no state")
	}
	return d.resolve(ctx, ids, how, func(j *job) bool { return matches(f, j) })
}
