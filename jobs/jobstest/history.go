package jobstest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// remembered is how long the history goes back.
const remembered = 25 * time.Hour

// record adds what a worker did to the present minute.
func (d *Driver) record(t *driver.Tally) {
	if t == nil || *t == (driver.Tally{}) {
		return
	}
	minute := now().Truncate(time.Minute)
	sum := d.history[minute]
	sum.Finished += t.Finished
	sum.Failed += t.Failed
	sum.Buried += t.Buried
	for i := range t.Wait {
		sum.Wait[i] += t.Wait[i]
		sum.Run[i] += t.Run[i]
	}
	d.history[minute] = sum
	maps.DeleteFunc(d.history, func(at time.Time, _ driver.Tally) bool { return at.Before(minute.Add(-remembered)) })
}

// History implements driver.Historian.
func (d *Driver) History(ctx context.Context, since time.Time) ([]driver.Minute, error) {
	var minutes []driver.Minute
	err := d.call(ctx, OpInspect, func() error {
		for at, tally := range d.history {
			if !at.Before(since.UTC().Truncate(time.Minute)) {
				minutes = append(minutes, driver.Minute{At: at, Tally: tally})
			}
		}
		return nil
	})
	slices.SortFunc(minutes, func(a, b driver.Minute) int { return a.At.Compare(b.At) })
	return minutes, err
}
