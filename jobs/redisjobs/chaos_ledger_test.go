package redisjobs_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// span is from when to when, in ns since 1970.
type span struct{ from, to int64 }

func (s span) meets(o span) bool { return s.from <= o.to && o.from <= s.to }

// process is one worker process and what it did.
type process struct {
	path   string
	killed int64  // zero: it ended by itself
	harm   []span // when it was frozen or cut off, or felt it
	frozen []span

	leases []leased
	stalls []span
	lost   []int64
	runs   map[int]*execution
	sent   map[int]span
}

// leased is one beat that was answered.
type leased struct {
	join bool
	span
}

// execution is one call of a handler.
type execution struct {
	by     *process
	n      int
	tenant string
	how    string // "" if its process was killed first
	span
}

// read parses the journal. A line may be cut short by a kill.
func (p *process) read(t testing.TB) {
	t.Helper()
	data, err := os.ReadFile(p.path)
	if os.IsNotExist(err) {
		return // killed before it began
	}
	require.NoError(t, err)
	p.runs, p.sent = map[int]*execution{}, map[int]span{}
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		what, rest, _ := strings.Cut(string(line), " ")
		var id, n int
		var s span
		var text string
		var join bool
		switch what {
		case "start":
			_, err = fmt.Sscan(rest, &id, &n, &text, &s.from)
			s.to = p.killed
			p.runs[id] = &execution{by: p, n: n, tenant: text, span: s}
		case "end":
			_, err = fmt.Sscan(rest, &id, &text, &s.to)
			p.runs[id].how, p.runs[id].to = text, s.to
		case "sent":
			_, err = fmt.Sscan(rest, &n, &s.from, &s.to)
			p.sent[n] = s
		case "stall":
			_, err = fmt.Sscan(rest, &s.from, &s.to)
			p.stalls = append(p.stalls, s)
		case "lost":
			_, err = fmt.Sscan(rest, &s.from)
			p.lost = append(p.lost, s.from)
		case "lease":
			_, err = fmt.Sscan(rest, &join, &s.from, &s.to)
			p.leases = append(p.leases, leased{join, s})
		}
		require.NoError(t, err, string(line))
	}
}

// leaseEnd is when others may get the job of an execution.
func (p *process) leaseEnd(x *execution) int64 {
	end := int64(math.MaxInt64)
	for _, l := range p.leases {
		if l.join && l.from > x.from || l.from > x.to {
			break
		}
		end = l.to
	}
	return end
}

// until is when an execution counts no more. That is when it ends; for one that
// could not notice in time that its lease ended, since its process did not get
// to run, it is then.
func (x *execution) until() int64 {
	end := x.by.leaseEnd(x)
	if x.to <= end {
		return x.to
	}
	// From when its context should have ended.
	late := span{end - int64(chaosLease/4), x.to}
	if slices.ContainsFunc(slices.Concat(x.by.stalls, x.by.frozen), late.meets) {
		return end
	}
	return x.to
}

// ledger compares what was promised with what was done.
type ledger struct {
	procs    []*process
	accepted map[int]span // when it was enqueued
	down     []span       // when Redis was dead
	runs     map[int][]*execution
}

// verdict is what the promise is about.
type verdict struct {
	lost      int // accepted and not done
	twice     int // done again without a reason
	excused   int // done again for a reason that the promise names
	exceeded  int // started above a limit
	forgotten int // what is left in Redis
}

func newLedger(t testing.TB, procs []*process, accepted map[int]span, down []span) *ledger {
	l := &ledger{procs, accepted, down, map[int][]*execution{}}
	for _, p := range procs {
		p.read(t)
		for n, s := range p.sent {
			l.accepted[n] = s
		}
		for _, x := range p.runs {
			l.runs[x.n] = append(l.runs[x.n], x)
		}
	}
	for _, xs := range l.runs {
		slices.SortFunc(xs, func(a, b *execution) int { return cmp.Compare(a.from, b.from) })
	}
	return l
}

func (l *ledger) judge() verdict {
	var v verdict
	for n := range l.accepted {
		if !slices.ContainsFunc(l.runs[n], func(x *execution) bool { return x.how == "done" }) {
			v.lost++
		}
	}
	for n, xs := range l.runs {
		for i := 1; i < len(xs); i++ {
			before := xs[i-1]
			switch {
			case before.how == "failed" || before.how == "stopped": // nothing was done
			case l.excuse(n, before, xs[i]):
				v.excused++
			default:
				v.twice++
			}
		}
	}
	v.exceeded = l.exceeded()
	return v
}

// excuse tells whether something happened to the one who did a job, between its
// start and the next one, or to the enqueue, that the promise makes an exception
// for.
func (l *ledger) excuse(n int, before, again *execution) bool {
	between, by := span{before.from, again.from}, before.by
	switch {
	case by.killed != 0 && by.killed <= again.from,
		slices.ContainsFunc(by.harm, between.meets),
		slices.ContainsFunc(l.down, between.meets),
		slices.ContainsFunc(by.lost, func(at int64) bool { return at >= before.from && at <= again.from+int64(chaosLease) }):
		return true
	case n < 0 && len(l.runs[-n]) > 1: // its sender ran again
		return true
	}
	// An enqueue whose answer got lost is repeated, maybe when the job is done.
	enqueued, known := l.accepted[n]
	return !known || slices.ContainsFunc(l.down, enqueued.meets)
}

// The limits in force: of the queue, of each tenant, and of one of its own.
const (
	limitAll    = 10
	limitTenant = 3
	limitSmall  = 1
	small       = "small"
)

// exceeded counts the executions that began while as many ran as may.
func (l *ledger) exceeded() (n int) {
	type event struct {
		at     int64
		tenant string
		delta  int
	}
	var events []event
	for _, xs := range l.runs {
		for _, x := range xs {
			events = append(events, event{x.from, x.tenant, 1}, event{max(x.from, x.until()), x.tenant, -1})
		}
	}
	slices.SortFunc(events, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.delta, b.delta))
	})
	all, running := 0, map[string]int{}
	for _, e := range events {
		all += e.delta
		running[e.tenant] += e.delta
		limit := limitTenant
		if e.tenant == small {
			limit = limitSmall
		}
		if e.delta > 0 && (all > limitAll || running[e.tenant] > limit) {
			n++
		}
	}
	return n
}

// most is how long the processes were held up at most, by somebody else.
func (l *ledger) most() (longest time.Duration) {
	for _, p := range l.procs {
		for _, s := range p.stalls {
			if !slices.ContainsFunc(p.frozen, s.meets) {
				longest = max(longest, time.Duration(s.to-s.from))
			}
		}
	}
	return longest
}
