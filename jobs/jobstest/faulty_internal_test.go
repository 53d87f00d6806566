package jobstest

import (
	"context"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// faulty is a good driver with one planted fault.
type faulty struct {
	*Driver
	calls int // of what the fault is in

	onPush      func(f *faulty, p *driver.Push)
	onExchange  func(f *faulty, x *driver.Exchange)
	onBatch     func(f *faulty, b *driver.Batch)
	onBeat      func(f *faulty, b *driver.Beat)
	onPulse     func(f *faulty, p *driver.Pulse)
	onConfigure func(c []driver.Change)
	onResolve   func(ids []string) []string
	onWait      func(context.Context, time.Duration) error
	onStart     func(p *driver.FlowPart)
	onFlow      func(f *faulty)                       // a call of a flow's end
	onClaim     func(f *faulty)                       // before it
	onPut       func(f *faulty, p driver.PutSchedule) // before it
	onTick      func(f *faulty, t driver.DueTick)     // after it
	onFire      func(f *faulty, t *driver.Tick)
	onFired     func(f *faulty, t driver.Tick, got *driver.Fired)
	onMatch     func(f *driver.Filter)
	onSweep     func(ids []string, f *driver.Filter) []string
}

func (f *faulty) Match(ctx context.Context, filter driver.Filter, cursor string) ([]string, string, error) {
	if f.onMatch != nil {
		f.onMatch(&filter)
	}
	return f.Driver.Match(ctx, filter, cursor)
}

func (f *faulty) ResolveMatching(ctx context.Context, ids []string, filter driver.Filter, how driver.Resolution) (int, error) {
	if f.onSweep != nil {
		ids = f.onSweep(ids, &filter)
	}
	return f.Driver.ResolveMatching(ctx, ids, filter, how)
}

func (f *faulty) Fire(ctx context.Context, t driver.Tick) (driver.Fired, error) {
	if f.onFire != nil {
		f.onFire(f, &t)
	}
	got, err := f.Driver.Fire(ctx, t)
	if f.onFired != nil {
		f.onFired(f, t, &got)
	}
	return got, err
}

func (f *faulty) StartFlow(ctx context.Context, p driver.FlowPart) (driver.FlowStored, error) {
	if f.onStart != nil {
		f.onStart(&p)
	}
	return f.Driver.StartFlow(ctx, p)
}

func (f *faulty) CancelFlow(ctx context.Context, id string) (bool, error) {
	found, err := f.Driver.CancelFlow(ctx, id)
	if f.onFlow != nil {
		f.onFlow(f)
	}
	return found, err
}

func (f *faulty) Push(ctx context.Context, p driver.Push) ([]driver.Pushed, error) {
	if f.onPush != nil {
		p.Jobs = slices.Clone(p.Jobs)
		f.onPush(f, &p)
	}
	return f.Driver.Push(ctx, p)
}

func (f *faulty) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	if f.onExchange != nil {
		x.Done = slices.Clone(x.Done)
		f.onExchange(f, &x)
	}
	b, err := f.Driver.Exchange(ctx, x)
	if f.onBatch != nil {
		f.onBatch(f, &b)
	}
	return b, err
}

func (f *faulty) Beat(ctx context.Context, b driver.Beat) (driver.Pulse, error) {
	if f.onBeat != nil {
		f.onBeat(f, &b)
	}
	p, err := f.Driver.Beat(ctx, b)
	if f.onPulse != nil {
		f.onPulse(f, &p)
	}
	return p, err
}

func (f *faulty) Configure(ctx context.Context, c []driver.Change) error {
	if f.onConfigure != nil {
		c = slices.Clone(c)
		f.onConfigure(c)
	}
	return f.Driver.Configure(ctx, c)
}

func (f *faulty) Resolve(ctx context.Context, ids []string, how driver.Resolution) (int, error) {
	if f.onResolve != nil {
		ids = f.onResolve(ids)
	}
	return f.Driver.Resolve(ctx, ids, how)
}

func (f *faulty) Wait(ctx context.Context, d time.Duration) error {
	if f.onWait != nil {
		return f.onWait(ctx, d)
	}
	return f.Driver.Wait(ctx, d)
}

func (f *faulty) Claim(ctx context.Context, c driver.Claim) (driver.Claimed, error) {
	if f.onClaim != nil {
		f.onClaim(f)
	}
	return f.Driver.Claim(ctx, c)
}

func (f *faulty) PutSchedule(ctx context.Context, p driver.PutSchedule) (driver.Started, error) {
	if f.onPut != nil {
		f.onPut(f, p)
	}
	return f.Driver.PutSchedule(ctx, p)
}

func (f *faulty) FireDue(ctx context.Context, ticks []driver.DueTick) ([]driver.FiredTick, error) {
	got, err := f.Driver.FireDue(ctx, ticks)
	for _, t := range ticks {
		if f.onTick != nil {
			f.onTick(f, t)
		}
	}
	return got, err
}
