package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// pusher stores single jobs. A caller who finds no call under way makes one of
// its own; those that come meanwhile share the next. That leaves when the first
// has ended, or beside it once that takes long: two quick calls at a time would
// wake client and server twice for half as many jobs each. Nobody waits for
// company, and everyone obeys its own context.
type pusher struct {
	driver   driver.Driver
	maxDepth int
	spare    sync.Pool // of passengers

	mu      sync.Mutex
	flights int          // calls under way
	left    time.Time    // when the latest of them began
	queue   []*passenger // empty without flights
}

const (
	mostFlights = 2
	long        = time.Millisecond // a call that takes so long may have another beside it
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
	if p.flights == 0 {
		p.flights, p.left = 1, time.Now()
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
	if p.flights < mostFlights && time.Since(p.left) >= long {
		p.flights++
		go p.fly()
	}
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
	go p.fly()
}

// fly makes shared calls while somebody waits; each ends with its callers. The
// next one comes last in the line of those whom this one served: they may be
// back with more by then.
func (p *pusher) fly() {
	for {
		ctx, f, batch := p.board()
		if f == nil {
			return
		}
		jobs := make([]driver.Job, len(batch))
		for i, who := range batch {
			jobs[i] = who.job
		}
		answers := make([]landing, len(batch))
		p.store(ctx, jobs, answers)
		f.cancel()
		ours := make(chan struct{})
		for i, who := range batch {
			if i == len(batch)-1 {
				go close(ours) // before the last: the scheduler runs that one first
			}
			who.landed <- answers[i]
		}
		<-ours
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
	p.left = time.Now()
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

// store makes the call and fills in the answers; false means that the queue is
// full. It takes nothing of a batch that is too large: a part may fit.
func (p *pusher) store(ctx context.Context, jobs []driver.Job, answers []landing) bool {
	pushed, err := p.driver.Push(ctx, driver.Push{Jobs: jobs, MaxDepth: p.maxDepth})
	full := errors.Is(err, ErrQueueFull)
	if full && len(jobs) > 1 {
		half := len(jobs) / 2
		if p.store(ctx, jobs[:half], answers[:half]) {
			return p.store(ctx, jobs[half:], answers[half:])
		}
		answers = answers[half:] // no use in asking for them
	}
	for i := range answers {
		if err != nil {
			answers[i].err = err
		} else {
			answers[i].pushed = pushed[i]
		}
	}
	return !full
}
