package jobs

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// pusher stores single jobs. As long as few callers come at a time each makes
// its own call; those that come while enough calls are under way share the
// next one. A caller never waits for company, and obeys its own context.
type pusher struct {
	driver   driver.Driver
	maxDepth int
	spare    sync.Pool // of passengers

	mu      sync.Mutex
	flights int // calls under way
	queue   []*passenger
}

const (
	mostFlights = 2
	flightJobs  = 256
	flightBytes = 1 << 20
)

// passenger is a job whose caller waits for a shared call. One whose caller
// waited to the end is used again.
type passenger struct {
	ctx    context.Context
	job    driver.Job
	flight *flight // nil: still in the queue
	landed chan landing
}

type landing struct {
	pushed driver.Pushed
	err    error
}

// flight is a shared call. It is given up when nobody waits for it any more.
type flight struct {
	aboard int
	cancel context.CancelFunc
}

func (p *pusher) push(ctx context.Context, job driver.Job) (driver.Pushed, error) {
	p.mu.Lock()
	if p.flights < mostFlights {
		p.flights++
		p.mu.Unlock()
		defer p.land()
		pushed, err := p.driver.Push(ctx, driver.Push{Jobs: []driver.Job{job}, MaxDepth: p.maxDepth})
		if err != nil {
			return driver.Pushed{}, err
		}
		return pushed[0], nil
	}
	mine, _ := p.spare.Get().(*passenger)
	if mine == nil {
		mine = &passenger{landed: make(chan landing, 1)}
	}
	mine.ctx, mine.job = ctx, job
	p.queue = append(p.queue, mine)
	p.mu.Unlock()
	select {
	case l := <-mine.landed:
		*mine = passenger{landed: mine.landed}
		p.spare.Put(mine)
		return l.pushed, l.err
	case <-ctx.Done():
		p.leave(mine)
		return driver.Pushed{}, context.Cause(ctx)
	}
}

// land ends a flight, or turns it into a shared one for those who came
// meanwhile: then a goroutine goes on, so that the caller need not.
func (p *pusher) land() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.flights--
		return
	}
	// It ends when nobody waits; each call it makes ends with its callers.
	go p.fly()
}

func (p *pusher) fly() {
	for {
		ctx, f, batch := p.board()
		if f == nil {
			return
		}
		p.send(ctx, batch)
		f.cancel()
		runtime.Gosched() // whom this call served may be back with the next job
	}
}

// board takes the next ones out of the queue, or ends the flight.
func (p *pusher) board() (context.Context, *flight, []*passenger) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, size := 0, 0
	for n < len(p.queue) && n < flightJobs && (n == 0 || size+len(p.queue[n].job.Body) <= flightBytes) {
		size += len(p.queue[n].job.Body)
		n++
	}
	if n == 0 {
		p.flights--
		return nil, nil, nil
	}
	batch := slices.Clone(p.queue[:n])
	p.queue = slices.Delete(p.queue, 0, n)
	ctx, cancel := context.WithCancel(context.WithoutCancel(batch[0].ctx))
	f := &flight{aboard: n, cancel: cancel}
	for _, who := range batch {
		who.flight = f
	}
	return ctx, f, batch
}

// leave is for a caller whose context has ended.
func (p *pusher) leave(who *passenger) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if who.flight == nil {
		p.queue = slices.DeleteFunc(p.queue, func(other *passenger) bool { return other == who })
		return
	}
	if who.flight.aboard--; who.flight.aboard == 0 {
		who.flight.cancel()
	}
}

// send stores a batch and tells everyone; false means that the queue is full.
// A full queue takes nothing of a batch that is too large: a part may fit.
func (p *pusher) send(ctx context.Context, batch []*passenger) bool {
	jobs := make([]driver.Job, len(batch))
	for i, who := range batch {
		jobs[i] = who.job
	}
	pushed, err := p.driver.Push(ctx, driver.Push{Jobs: jobs, MaxDepth: p.maxDepth})
	full := errors.Is(err, ErrQueueFull)
	if full && len(batch) > 1 {
		half := len(batch) / 2
		if p.send(ctx, batch[:half]) {
			return p.send(ctx, batch[half:])
		}
		batch = batch[half:] // no use in asking for them
	}
	for i, who := range batch {
		if err != nil {
			who.landed <- landing{err: err}
		} else {
			who.landed <- landing{pushed: pushed[i]}
		}
	}
	return !full
}
