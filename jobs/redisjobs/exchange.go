package redisjobs

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Exchange implements driver.Driver.
func (d *Driver) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	if err := bounded("exchange", max(len(x.Done), len(x.Notes))); err != nil {
		return driver.Batch{}, err
	}
	args := make([]any, 6, 6+len(x.Done)+2*len(x.Notes))
	finished, settled := 0, 0
	for i := range x.Done {
		if o := &x.Done[i]; o.Action == driver.Finish && o.Keep <= 0 && len(o.Result) == 0 {
			args = append(args, &o.ID)
			finished++
		}
	}
	for i := range x.Done {
		if o := &x.Done[i]; o.Action != driver.Finish || o.Keep > 0 || len(o.Result) > 0 {
			args = append(args, &o.ID, string(o.Action), millis(o.Delay), &o.Error, millis(o.Keep), o.Result, millis(o.Took))
			settled++
		}
	}
	for _, n := range x.Notes {
		args = append(args, n.ID, n.Data)
	}
	args[0], args[1], args[2] = x.Worker, x.Seq, min(x.Want, driver.MaxBatch)
	args[3], args[4], args[5] = max(x.Each, 0), finished, settled
	r, err := d.do(ctx, exchange, x.Worker, args...)
	if err != nil {
		return driver.Batch{}, err
	}
	if r.text() == "lost" {
		return driver.Batch{}, fmt.Errorf("redisjobs: exchange: %w", driver.ErrLeaseLost)
	}
	batch := driver.Batch{Ready: int(r.int()), Next: -1}
	if next := r.int(); next >= 0 {
		batch.Next = time.Duration(next) * time.Millisecond
	}
	extras := r.int()
	batch.Cancel = r.texts(int(r.int()))
	if len(r.items) > 0 {
		batch.Jobs = make([]driver.Stored, 0, len(r.items)/2)
	}
	for len(r.items) > 0 && r.err == nil {
		s := driver.Stored{ID: r.text()}
		s.Tenant, s.Body = readStored(r.text())
		if extras&1 != 0 {
			setMeta(&s, r.text())
			s.Failures = nil // there is one at most, without its time
		}
		if extras&2 != 0 {
			if since := r.text(); since != "" {
				s.Since = scoreTime(since)
			}
		}
		batch.Jobs = append(batch.Jobs, s)
	}
	return batch, r.err
}

// reclaimLimit bounds how many jobs one script call moves.
const reclaimLimit = 1000

// Beat implements driver.Driver.
func (d *Driver) Beat(ctx context.Context, b driver.Beat) (driver.Pulse, error) {
	if b.Lease <= 0 {
		return d.reclaim(ctx, b.Worker, "leave", 0)
	}
	if err := bounded("beat", len(b.Running)); err != nil {
		return driver.Pulse{}, err
	}
	args := []any{b.Worker, millis(b.Lease), flag(b.Join), flag(b.Audit), tallyText(b.Tally), b.About, len(b.Running)}
	for _, r := range b.Running {
		args = append(args, r.ID, millis(r.For))
	}
	for _, id := range b.Holding {
		args = append(args, id)
	}
	r, err := d.do(ctx, beat, b.Worker, args...)
	if err != nil {
		return driver.Pulse{}, err
	}
	if r.text() == "lost" {
		return driver.Pulse{}, fmt.Errorf("redisjobs: beat: %w", driver.ErrLeaseLost)
	}
	expired := r.text()
	pulse := driver.Pulse{Held: int(r.int())}
	cancelled, unknown, lost := int(r.int()), int(r.int()), int(r.int())
	pulse.Cancel = r.texts(cancelled)
	pulse.Unknown = r.texts(unknown)
	pulse.Lost = r.texts(lost)
	if expired != "" && r.err == nil {
		given, err := d.reclaim(ctx, expired, "expired", b.MaxCrashes)
		pulse.Reclaimed, pulse.Buried, pulse.Err = given.Reclaimed, given.Buried, err
	}
	return pulse, r.err
}

func flag(on bool) int {
	if on {
		return 1
	}
	return 0
}

func (d *Driver) reclaim(ctx context.Context, worker, mode string, maxCrashes int) (driver.Pulse, error) {
	var pulse driver.Pulse
	for {
		r, err := d.do(ctx, reclaim, worker, worker, mode, reclaimLimit, maxCrashes)
		if err != nil {
			return pulse, err
		}
		pulse.Reclaimed += int(r.int())
		pulse.Buried += int(r.int())
		if more := r.int(); more == 0 || r.err != nil {
			return pulse, r.err
		}
	}
}
