package redisjobs

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Exchange implements driver.Driver.
func (d *Driver) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	args := make([]any, 0, 3+4*len(x.Done))
	args = append(args, x.Worker, x.Seq, min(x.Want, driver.MaxBatch))
	for _, o := range x.Done {
		args = append(args, o.ID, string(o.Action), millis(o.Delay), o.Error)
	}
	reply, err := d.do(ctx, exchange, x.Worker, args...)
	if err != nil {
		return driver.Batch{}, err
	}
	r := reader{op: "exchange", items: asList(reply)}
	if r.text() == "lost" {
		return driver.Batch{}, fmt.Errorf("redisjobs: exchange: %w", driver.ErrLeaseLost)
	}
	batch := driver.Batch{Ready: int(r.int()), Next: -1}
	if next := r.int(); next >= 0 {
		batch.Next = time.Duration(next) * time.Millisecond
	}
	for len(r.items) > 0 && r.err == nil {
		s := driver.Stored{ID: r.text(), Body: []byte(r.text())}
		setMeta(&s, r.text())
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
	join := 0
	if b.Join {
		join = 1
	}
	reply, err := d.do(ctx, beat, "", b.Worker, millis(b.Lease), join)
	if err != nil {
		return driver.Pulse{}, err
	}
	r := reader{op: "beat", items: asList(reply)}
	if r.text() == "lost" {
		return driver.Pulse{}, fmt.Errorf("redisjobs: beat: %w", driver.ErrLeaseLost)
	}
	if expired := r.text(); expired != "" && r.err == nil {
		pulse, err := d.reclaim(ctx, expired, "expired", b.MaxCrashes)
		pulse.Err = err
		return pulse, nil
	}
	return driver.Pulse{}, r.err
}

func (d *Driver) reclaim(ctx context.Context, worker, mode string, maxCrashes int) (driver.Pulse, error) {
	var pulse driver.Pulse
	for {
		reply, err := d.do(ctx, reclaim, worker, worker, mode, reclaimLimit, maxCrashes)
		if err != nil {
			return pulse, err
		}
		r := reader{op: "reclaim", items: asList(reply)}
		pulse.Reclaimed += int(r.int())
		pulse.Buried += int(r.int())
		if more := r.int(); more == 0 || r.err != nil {
			return pulse, r.err
		}
	}
}
