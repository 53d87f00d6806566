package httpxtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

// RunLimits checks everything that ratelimit.Limiter relies on. open returns an empty store. Unless there is a Tick of its
// own, each case runs in a testing/synctest bubble.
func RunLimits(t *testing.T, open func(t *testing.T) ratelimit.Store, f LimitFeatures) {
	t.Helper()
	for _, c := range limitCases {
		if c.back && f.Back == nil || c.exact && f.Running {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.why)
			run := func(t *testing.T) { c.run(&limitScene{t: t, ctx: t.Context(), store: open(t), f: f}) }
			if f.Tick == nil {
				synctest.Test(t, run)
			} else {
				run(t)
			}
		})
	}
}

type limitScene struct {
	t     failer
	ctx   context.Context
	store ratelimit.Store
	f     LimitFeatures
}

// long is a time in which nothing comes back.
const long = 5 * 365 * 24 * time.Hour

var limitCases = []struct {
	name, why   string
	back, exact bool
	run         func(*limitScene)
}{
	{"Burst", "the burst is there at once and not a unit more", false, false, func(s *limitScene) {
		lim := s.limiter(ratelimit.Limit{Rate: 5, Per: long})
		for left := int64(4); left >= 0; left-- {
			s.allowed(lim, "k", 1, left)
		}
		d := s.denied(lim, "k", 1, "suite")
		if d.RetryAfter > long/5 || d.RetryAfter < long/6 || d.States[0].Reset < long-long/100 {
			s.t.Fatalf("retry after %v, reset %v", d.RetryAfter, d.States[0].Reset)
		}
	}},
	{"Refill", "what was taken comes back at the rate, no matter how the calls come", false, false, refill},
	{"RetryAfter", "the call is allowed when it was said to be, and not a microsecond before", false, true, func(s *limitScene) {
		lim := s.limiter(ratelimit.Limit{Rate: 3, Per: time.Second, Burst: 2})
		s.allowed(lim, "k", 2, 0)
		for range 10 {
			d := s.denied(lim, "k", 1, "suite")
			s.f.tick(d.RetryAfter - time.Microsecond)
			if d = s.denied(lim, "k", 1, "suite"); d.RetryAfter != time.Microsecond {
				s.t.Fatalf("a microsecond before the time another %v are to be waited", d.RetryAfter)
			}
			s.f.tick(d.RetryAfter)
			s.allowed(lim, "k", 1, 0)
		}
	}},
	{"NoDrift", "a rate that divides no microsecond is kept exactly, however often it is asked", false, true, func(s *limitScene) {
		lim := s.limiter(ratelimit.Limit{Rate: 7, Per: time.Second, Burst: 1})
		var passed time.Duration
		for range 700 {
			d := s.allow(lim, "k", 1)
			if !d.Allowed {
				s.f.tick(d.RetryAfter)
				passed += d.RetryAfter
				s.allowed(lim, "k", 1, 0)
			}
		}
		if late := passed - 99*time.Second - 857_142*time.Microsecond; late < 0 || late > 700*time.Microsecond {
			s.t.Fatalf("700 calls at 7 a second took %v", passed)
		}
	}},
	{"SmallUnits", "a unit that is less than a microsecond counts as what it is", false, true, func(s *limitScene) {
		lim := s.limiter(ratelimit.Limit{Rate: 3_000_000, Per: time.Second})
		for i := range int64(300) {
			s.allowed(lim, "k", 1, 3_000_000-1-i)
		}
		s.f.tick(time.Millisecond)
		s.allowed(lim, "k", 0, 3_000_000)
	}},
	{"AllOrNothing", "a call that one limit denies takes nothing of the others, in whatever order", false, false, func(s *limitScene) {
		small, large := ratelimit.Limit{Name: "small", Rate: 2, Per: long}, ratelimit.Limit{Name: "large", Rate: 9, Per: long}
		for i, lim := range []*ratelimit.Limiter{s.limiter(small, large), s.limiter(large, small)} {
			key := fmt.Sprint("k", i)
			s.allow(lim, key, 1)
			s.allow(lim, key, 1)
			for range 5 {
				s.denied(lim, key, 1, "suite.small")
			}
			s.allowed(s.limiter(large), key, 0, 7)
			s.allowed(s.limiter(small), key, 0, 0)
		}
	}},
	{"Concurrent", "a thousand calls at once get what one limit has, and take no more of the other", false, false, concurrent},
	{"Cost", "a call takes what it costs, or nothing", false, false, func(s *limitScene) {
		lim := s.limiter(ratelimit.Limit{Rate: 10, Per: long})
		s.allowed(lim, "k", 7, 3)
		s.denied(lim, "k", 4, "suite")
		s.allowed(lim, "k", 3, 0)
		s.denied(lim, "k", 1, "suite")
	}},
	{"Nothing", "to ask for nothing is allowed, of an empty bucket too, and takes nothing", false, false, func(s *limitScene) {
		lim := s.limiter(ratelimit.Limit{Rate: 2, Per: long})
		s.allowed(lim, "k", 0, 2)
		s.allowed(lim, "k", 2, 0)
		s.allowed(lim, "k", 0, 0)
		s.denied(lim, "k", 1, "suite")
	}},
	{"Apart", "keys, limits, their keys and limiters have buckets of their own", false, false, func(s *limitScene) {
		one := ratelimit.Limit{Name: "one", Rate: 1, Per: long}
		other, sub, sub2 := one, one, one
		other.Name, sub.Key, sub2.Key = "other", "x", "y"
		for _, l := range []ratelimit.Limit{one, other, sub, sub2} {
			for _, key := range []string{"", "a", "b", strings.Repeat("long ", 1000), "\x00{}*\n"} {
				s.allowed(s.limiter(l), key, 1, 0)
				s.denied(s.limiter(l), key, 1, "suite."+l.Name)
			}
		}
		second, err := ratelimit.New(s.store, "second", []ratelimit.Limit{one}, nil)
		s.must(err)
		s.allowed(second, "a", 1, 0)
	}},
	{"Lowered", "who used a larger limit waits no longer than with the smaller one", false, false, func(s *limitScene) {
		s.allowed(s.limiter(ratelimit.Limit{Rate: 1000, Per: long}), "k", 1000, 0)
		d := s.denied(s.limiter(ratelimit.Limit{Rate: 2, Per: time.Hour, Burst: 4}), "k", 2, "suite")
		if d.RetryAfter > time.Hour || d.States[0].Reset > 2*time.Hour {
			s.t.Fatalf("retry after %v, reset %v", d.RetryAfter, d.States[0].Reset)
		}
		fast := s.limiter(ratelimit.Limit{Rate: 50, Per: time.Second, Burst: 2})
		for range 2 { // what was told comes true, though it was denied
			if d = s.allow(fast, "k", 1); d.Allowed {
				break
			}
			s.f.tick(d.RetryAfter)
		}
		if !d.Allowed {
			s.t.Fatalf("denied after the wait, too: %+v", d)
		}
	}},
	{"Raised", "what was taken of a smaller limit counts, and the rest is there at once", false, false, func(s *limitScene) {
		s.allowed(s.limiter(ratelimit.Limit{Rate: 1000, Per: long}), "k", 1000, 0)
		s.allowed(s.limiter(ratelimit.Limit{Rate: 10_000, Per: long}), "k", 0, 9000)
		s.allowed(s.limiter(ratelimit.Limit{Rate: 10_000, Per: long}), "k", 1000, 8000)
		s.allowed(s.limiter(ratelimit.Limit{Rate: 3000, Per: long}), "k", 0, 1000)
		s.allowed(s.limiter(ratelimit.Limit{Rate: 3000, Per: long, Burst: 4000}), "k", 0, 2000)
	}},
	{"ClockBack", "a clock that is put back locks nobody out for longer than an empty bucket does", true, false, func(s *limitScene) {
		lim := s.limiter(ratelimit.Limit{Rate: 10, Per: time.Second})
		s.allowed(lim, "k", 5, 5)
		s.f.Back(24 * time.Hour)
		if d := s.allow(lim, "k", 1); d.RetryAfter > time.Second/10 {
			s.t.Fatalf("retry after %v", d.RetryAfter)
		}
		s.f.tick(time.Second)
		if d := s.allow(lim, "k", 9); !d.Allowed {
			s.t.Fatalf("denied a second later, retry after %v", d.RetryAfter)
		}
	}},
	{"Huge", "the largest limits neither overflow nor round", false, false, func(s *limitScene) {
		const most = 1_000_000_000_000
		lim := s.limiter(ratelimit.Limit{Rate: most, Per: 10 * 365 * 24 * time.Hour})
		s.allow(lim, "k", most-1)
		d := s.allow(lim, "k", most)
		if d.Allowed || d.RetryAfter < 9*365*24*time.Hour {
			s.t.Fatalf("allowed %v, retry after %v", d.Allowed, d.RetryAfter)
		}
		fast := s.limiter(ratelimit.Limit{Rate: most, Per: time.Microsecond})
		s.allow(fast, "fast", most)
		s.f.tick(time.Millisecond)
		s.allowed(fast, "fast", 0, most)
	}},
	{"Reset", "a key that is reset has everything back, others do not", false, false, func(s *limitScene) {
		lim := s.limiter(ratelimit.Limit{Name: "a", Rate: 2, Per: long}, ratelimit.Limit{Name: "b", Rate: 2, Per: long})
		for _, key := range []string{"k", "other"} {
			s.allowed(lim, key, 2, 0)
		}
		s.must(lim.Reset(s.ctx, "k"))
		s.must(lim.Reset(s.ctx, "never seen"))
		s.allowed(lim, "k", 2, 0)
		s.denied(lim, "other", 1, "suite.a")
	}},
	{"Context", "a call whose context has ended is an error and takes nothing", false, false, func(s *limitScene) {
		lim := s.limiter(ratelimit.Limit{Rate: 2, Per: long})
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		if _, err := lim.Allow(ctx, "k"); !errors.Is(err, context.Canceled) {
			s.t.Fatalf("the error is %v", err)
		}
		if _, _, err := s.store.Take(ctx, "g", []ratelimit.Take{{Key: "k", Rate: 1}}); err == nil {
			s.t.Fatalf("the store took no notice of a context that had ended")
		}
		if s.store.Reset(ctx, "g", []string{"k"}) == nil {
			s.t.Fatalf("Reset took no notice of a context that had ended")
		}
		s.allowed(lim, "k", 0, 2)
	}},
	{"Model", "every figure of random calls is that of a model in fractions", false, true, func(s *limitScene) {
		s.must(WalkLimits(s.ctx, s.store, s.f, 1, 1000))
	}},
}

func (s *limitScene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v", err)
	}
}

func (s *limitScene) limiter(limits ...ratelimit.Limit) *ratelimit.Limiter {
	s.t.Helper()
	lim, err := ratelimit.New(s.store, "suite", limits, &ratelimit.Options{Failure: ratelimit.FailClosed, Timeout: -1})
	s.must(err)
	return lim
}

func (s *limitScene) allow(lim *ratelimit.Limiter, key string, n int64) ratelimit.Decision {
	s.t.Helper()
	d, err := lim.AllowN(s.ctx, key, n)
	s.must(err)
	return d
}

// allowed fails the case unless the call is allowed and leaves so many units of the first limit.
func (s *limitScene) allowed(lim *ratelimit.Limiter, key string, n, left int64) {
	s.t.Helper()
	d := s.allow(lim, key, n)
	if !d.Allowed || d.DeniedBy != "" || d.RetryAfter != 0 || d.States[0].Remaining != left {
		s.t.Fatalf("%d of %.20q: %+v; want it allowed, with %d left", n, key, d, left)
	}
}

func (s *limitScene) denied(lim *ratelimit.Limiter, key string, n int64, by string) ratelimit.Decision {
	s.t.Helper()
	d := s.allow(lim, key, n)
	if d.Allowed || d.DeniedBy != by || d.RetryAfter <= 0 {
		s.t.Fatalf("%d of %.20q: %+v; want it denied by %s", n, key, d, by)
	}
	return d
}

// refill holds the store to a law: what was allowed and what is left are the burst and what came since, as long as the
// bucket is never full.
func refill(s *limitScene) {
	const rate, burst = 1000, 10_000
	lim := s.limiter(ratelimit.Limit{Rate: rate, Per: time.Second, Burst: burst})
	before := time.Now()
	spent, left, ticked := int64(burst-1), int64(0), time.Duration(0)
	s.allow(lim, "k", spent)
	after, asked := time.Now(), time.Time{}
	for i := range 20 {
		n := int64(i % 3)
		s.f.tick(10 * time.Millisecond)
		ticked += 10 * time.Millisecond
		asked = time.Now()
		d := s.allow(lim, "k", n)
		if left = d.States[0].Remaining; d.Allowed {
			spent += n
		}
	}
	least, most := ticked, ticked
	if s.f.Running {
		least, most = asked.Sub(after), time.Since(before)
	}
	if came := spent + left - burst; came < least.Milliseconds() || came > most.Milliseconds()+1 {
		s.t.Fatalf("%d units came in %v to %v", came, least, most)
	}
}

func concurrent(s *limitScene) {
	lim := s.limiter(ratelimit.Limit{Name: "ip", Rate: 100, Per: long}, ratelimit.Limit{Name: "plan", Rate: 50, Per: long})
	var allowed atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	start := make(chan struct{})
	for range 1000 {
		all.Go(func() {
			<-start
			d, err := lim.Allow(s.ctx, "k")
			if err != nil {
				failed.Store(&err)
			} else if d.Allowed {
				allowed.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	if err := failed.Load(); err != nil {
		s.t.Fatalf("%v", *err)
	}
	d := s.allow(lim, "k", 0)
	if allowed.Load() != 50 || d.States[0].Remaining != 50 || d.States[1].Remaining != 0 {
		s.t.Fatalf("%d of 1000 calls allowed, %d of 100 and %d of 50 left; want 50, 50 and 0", allowed.Load(), d.States[0].Remaining, d.States[1].Remaining)
	}
}
