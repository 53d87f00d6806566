package jobs

import (
	"slices"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// pool runs the jobs of a worker on a fixed number of goroutines, which it
// starts as they are needed. It keeps those that wait for a slot and the
// outcomes that are to be reported. Its lock is held for moments only.
type pool struct {
	q    *Queue
	size int
	news chan struct{} // something changed that the loop may act on

	mu      sync.Mutex
	more    sync.Cond // a job waits, or the end has come
	closed  bool
	epoch   int
	idle    int
	slots   []*attempt // what each goroutine runs; nil: nothing
	waiting []*attempt
	low     int // the number of waiting jobs at which the loop wants to know
	done    []driver.Outcome
	oldest  time.Time // when the first of done came
	notes   map[string][]byte
	tally   driver.Tally
	ran     int           // handlers that returned
	typical time.Duration // of what they took, see learn
}

func newPool(q *Queue, size int) *pool {
	p := &pool{q: q, size: size, news: make(chan struct{}, 1)}
	p.more.L = &p.mu
	return p
}

// books is what the loop decides by.
type books struct {
	running, waiting, done, notes int

	ran     int           // handlers that returned, ever
	typical time.Duration // of what they took
	oldest  time.Time     // of the outcomes
	first   time.Time     // since when the first job waits
}

func (p *pool) books() books {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := books{
		running: len(p.slots) - p.idle, waiting: len(p.waiting), done: len(p.done), notes: len(p.notes),
		ran: p.ran, typical: p.typical, oldest: p.oldest,
	}
	if b.waiting > 0 {
		b.first = p.waiting[0].since
	}
	return b
}

// add gives jobs to the slots. The loop wants to know when only low wait.
func (p *pool) add(jobs []*attempt, low int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.low = low
	p.waiting = append(p.waiting, jobs...)
	for range min(len(jobs), p.idle) {
		p.more.Signal()
	}
	for range min(len(p.waiting)-p.idle, p.size-len(p.slots)) {
		p.slots = append(p.slots, nil)
		p.idle++
		// It ends with close, or when its handler returns after that: one that
		// ignores its context outlives Run, which then returns an error.
		go p.serve(len(p.slots) - 1)
	}
}

// serve is one slot's goroutine.
func (p *pool) serve(slot int) {
	closed := false
	defer func() {
		if !closed { // the handler called runtime.Goexit; the slot remains
			go p.serve(slot)
		}
	}()
	for {
		a := p.next(slot)
		if a == nil {
			closed = true
			return
		}
		p.run(slot, a)
	}
}

func (p *pool) next(slot int) *attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) == 0 {
		if p.closed {
			return nil
		}
		p.more.Wait()
	}
	a := p.waiting[0]
	p.waiting[0] = nil
	p.waiting = p.waiting[1:]
	if len(p.waiting) == p.low {
		p.tell()
	}
	p.idle--
	p.slots[slot] = a
	return a
}

func (p *pool) run(slot int, a *attempt) {
	defer p.settle(slot, a) // also after Goexit
	p.q.execute(a)
}

func (p *pool) settle(slot int, a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots[slot] = nil
	p.idle++
	if !a.began.IsZero() {
		p.ran++
		p.learn(a.took)
		p.count(a)
	}
	if a.epoch == p.epoch {
		p.report(a.out, a.began.Add(a.took))
	}
	if p.idle == len(p.slots) {
		p.tell()
	}
}

// report keeps an outcome for the next exchange.
func (p *pool) report(out driver.Outcome, now time.Time) {
	delete(p.notes, out.ID)
	p.done = append(p.done, out)
	switch len(p.done) {
	case 1:
		p.oldest = now
		p.tell()
	case enough:
		p.tell()
	}
}

// learn follows the median of what handlers take: a step up or down for each,
// however far away it is.
func (p *pool) learn(took time.Duration) {
	switch {
	case p.typical == 0:
		p.typical = max(took, 1)
	case took > p.typical:
		p.typical += p.typical/16 + 1
	default:
		p.typical -= p.typical / 16
	}
}

func (p *pool) tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// take returns outcomes and notes for an exchange and forgets them.
func (p *pool) take() ([]driver.Outcome, []driver.Note) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.done), driver.MaxBatch)
	done := p.done[:n:n]
	p.done = append(make([]driver.Outcome, 0, max(n, len(p.done)-n)), p.done[n:]...) // as many are to be expected
	var notes []driver.Note
	for id, data := range p.notes {
		if len(notes) == driver.MaxBatch {
			break
		}
		notes = append(notes, driver.Note{ID: id, Data: data})
		delete(p.notes, id)
	}
	return done, notes
}

// putBack settles the waiting jobs that gone is true for.
func (p *pool) putBack(gone func(*attempt) bool, action driver.Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(a *attempt) bool {
		if !gone(a) {
			return false
		}
		p.report(driver.Outcome{ID: a.job.ID, Action: action}, time.Now())
		return true
	})
}

// each calls f for what runs under the present lease.
func (p *pool) each(f func(*attempt)) {
	p.mu.Lock()
	var running []*attempt
	for _, a := range p.slots {
		if a != nil && a.epoch == p.epoch {
			running = append(running, a)
		}
	}
	p.mu.Unlock()
	for _, a := range running {
		f(a)
	}
}

// shares counts the jobs that run or wait, and those of the tenant that has most
// of them.
func (p *pool) shares() (held, largest int) {
	p.mu.Lock()
	list := slices.Concat(p.slots, p.waiting)
	p.mu.Unlock()
	by := map[string]int{}
	for _, a := range list {
		if a != nil {
			held++
			by[a.job.Tenant]++
			largest = max(largest, by[a.job.Tenant])
		}
	}
	return held, largest
}

// holding returns the ids of all that the store should think is held.
func (p *pool) holding() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, a := range slices.Concat(p.slots, p.waiting) {
		if a != nil && a.epoch == p.epoch {
			ids = append(ids, a.job.ID)
		}
	}
	for _, out := range p.done {
		ids = append(ids, out.ID)
	}
	return ids
}

// forget drops what belongs to a lease that is lost.
func (p *pool) forget(epoch int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch = epoch
	p.waiting, p.done, p.notes = nil, nil, nil
}

// close ends the goroutines that run nothing, and the others when they can.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.more.Broadcast()
}
