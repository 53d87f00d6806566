package httpxtest

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"time"

	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

// LimitFeatures says how a ratelimit.Store under test differs. The zero value means one that uses this process's clock and
// does no I/O.
type LimitFeatures struct {
	// Tick lets time pass for the store. Nil means time.Sleep, which costs nothing in a testing/synctest bubble.
	Tick func(time.Duration)

	// Running says that the store's clock goes on between ticks, too, as that of a real server does: figures are compared
	// with what the time that passes may make of them. False means that they are exact.
	Running bool

	// Back puts the store's clock back. Nil means that it cannot be, and the case that needs it is left out.
	Back func(time.Duration)
}

func (f LimitFeatures) tick(d time.Duration) {
	if f.Tick == nil {
		time.Sleep(d)
		return
	}
	f.Tick(d)
}

// WalkLimits makes random calls with random limits, which change meanwhile, lets random times pass between them, and compares
// every figure of every answer with a model that counts in fractions. The error tells the first difference, and how it came
// to it. The store must be empty and not Running; one that uses this process's clock has to be in a bubble.
func WalkLimits(ctx context.Context, store ratelimit.Store, f LimitFeatures, seed uint64, calls int) error {
	w := &walk{ctx: ctx, store: store, f: f, rng: rand.New(rand.NewPCG(seed, seed)), full: map[string]*big.Rat{}, by: map[string]ratelimit.Limit{}}
	for range calls {
		w.pass()
		if err := w.call(); err != nil {
			return fmt.Errorf("seed %d: %w; before that:\n%s", seed, err, w.log)
		}
	}
	return nil
}

type walk struct {
	ctx   context.Context
	store ratelimit.Store
	f     LimitFeatures
	rng   *rand.Rand
	log   []byte

	now  int64                      // microseconds since the start
	full map[string]*big.Rat        // when each bucket is full, in microseconds
	by   map[string]ratelimit.Limit // what it was left with
	last time.Duration              // the last wait that was told
}

// pass lets time go by, often exactly as long as the last answer said, or a microsecond less.
func (w *walk) pass() {
	var d time.Duration
	switch w.rng.IntN(5) {
	case 0:
		d = w.last
	case 1:
		d = max(w.last-time.Microsecond, 0)
	case 2:
		d = time.Duration(w.rng.IntN(5_000_000)) * time.Microsecond
	}
	if d > 0 {
		w.f.tick(d)
		w.now += d.Microseconds()
		w.note("%v passes", d)
	}
}

func (w *walk) note(format string, args ...any) {
	w.log = fmt.Appendf(w.log, format+"\n", args...)
	w.log = w.log[max(0, len(w.log)-4000):]
}

// walkRates have remainders, and change in all ways.
var walkRates = [][]ratelimit.Limit{
	{{Name: "a", Rate: 7, Per: time.Second}, {Name: "a", Rate: 7, Per: 3 * time.Second, Burst: 3}, {Name: "a", Rate: 11, Per: time.Minute, Burst: 20}},
	{{Name: "b", Rate: 3_000_001, Per: time.Second, Burst: 9_000_000}, {Name: "b", Rate: 3_000_001, Per: time.Second, Burst: 5}},
	{{Name: "c", Rate: 1, Per: 25 * time.Second, Burst: 4}, {Name: "c", Rate: 1000, Per: time.Second}},
}

func (w *walk) call() error {
	var limits []ratelimit.Limit
	for _, choices := range walkRates {
		if w.rng.IntN(2) == 0 || limits == nil && &choices[0] == &walkRates[len(walkRates)-1][0] {
			limits = append(limits, choices[w.rng.IntN(len(choices))])
		}
	}
	for i := range limits {
		if w.rng.IntN(4) == 0 {
			limits[i].Key = "sub"
		}
	}
	key, cost := fmt.Sprint("key", w.rng.IntN(2)), int64(w.rng.IntN(4))
	if w.rng.IntN(30) == 0 {
		cost = 1 << 40
	}
	for _, l := range limits {
		cost = min(cost, burst(l))
	}
	lim, err := ratelimit.New(w.store, "walk", limits, &ratelimit.Options{Failure: ratelimit.FailClosed, Timeout: -1})
	if err != nil {
		return err
	}
	if w.rng.IntN(50) == 0 {
		w.note("reset %s %+v", key, limits)
		for _, l := range limits {
			delete(w.full, key+"/"+l.Name+"/"+l.Key)
		}
		if err := lim.Reset(w.ctx, key); err != nil {
			return err
		}
	}
	w.note("%d of %s %+v", cost, key, limits)
	d, err := lim.AllowN(w.ctx, key, cost)
	if err != nil {
		return err
	}
	w.last = d.RetryAfter
	return w.compare(d, key, limits, cost)
}

func burst(l ratelimit.Limit) int64 {
	if l.Burst == 0 {
		return l.Rate
	}
	return l.Burst
}

// span is the time of n units.
func span(l ratelimit.Limit, n int64) *big.Rat {
	r := new(big.Rat).SetFrac64(l.Per.Microseconds(), l.Rate)
	return r.Mul(r, new(big.Rat).SetInt64(n))
}

// up rounds microseconds up; negative ones are none.
func up(r *big.Rat) time.Duration {
	if r.Sign() <= 0 {
		return 0
	}
	q, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	if rest.Sign() != 0 {
		q.Add(q, big.NewInt(1))
	}
	return time.Duration(q.Int64()) * time.Microsecond
}

// backlog is what the model has of a bucket.
func (w *walk) backlog(id string, l ratelimit.Limit) *big.Rat {
	b := new(big.Rat)
	if full := w.full[id]; full != nil {
		b.Sub(full, new(big.Rat).SetInt64(w.now))
	}
	if b.Sign() <= 0 {
		return new(big.Rat)
	}
	if old := w.by[id]; old.Rate != l.Rate || old.Per != l.Per {
		// The store does this in floating point, as ratelimit.Take says.
		whole := new(big.Int).Quo(b.Num(), b.Denom())
		micros, _ := new(big.Rat).SetInt(whole).Float64()
		parts, _ := new(big.Rat).Mul(new(big.Rat).Sub(b, new(big.Rat).SetInt(whole)), new(big.Rat).SetInt64(old.Rate)).Float64()
		micros = (micros + parts/float64(old.Rate)) * (float64(l.Per.Microseconds()) * float64(old.Rate)) / (float64(l.Rate) * float64(old.Per.Microseconds()))
		b.SetFloat64(math.Ceil(micros))
	}
	if room := span(l, burst(l)); b.Cmp(room) > 0 {
		b = room
		w.keep(id, l, b)
	}
	return b
}

func (w *walk) keep(id string, l ratelimit.Limit, backlog *big.Rat) {
	w.full[id], w.by[id] = new(big.Rat).Add(backlog, new(big.Rat).SetInt64(w.now)), l
}

// compare applies the call to the model.
func (w *walk) compare(d ratelimit.Decision, key string, limits []ratelimit.Limit, cost int64) error {
	allowed := true
	ids, backlogs := make([]string, len(limits)), make([]*big.Rat, len(limits))
	for i, l := range limits {
		ids[i] = key + "/" + l.Name + "/" + l.Key
		backlogs[i] = w.backlog(ids[i], l)
		allowed = allowed && new(big.Rat).Add(backlogs[i], span(l, cost)).Cmp(span(l, burst(l))) <= 0
	}
	if d.Allowed != allowed {
		return fmt.Errorf("allowed is %v, the model says %v", d.Allowed, allowed)
	}
	var longest time.Duration
	for i, l := range limits {
		b, room := backlogs[i], span(l, burst(l))
		if allowed {
			b.Add(b, span(l, cost))
			w.keep(ids[i], l, b)
		}
		left := new(big.Rat).Sub(room, b)
		left.Quo(left, span(l, 1))
		remaining := new(big.Int).Quo(left.Num(), left.Denom()).Int64()
		next := time.Duration(0)
		if remaining < burst(l) {
			n := new(big.Rat).Add(b, span(l, remaining+1))
			next = up(n.Sub(n, room))
		}
		if s := d.States[i]; s.Remaining != remaining || s.Reset != up(b) || s.Next != next {
			return fmt.Errorf("%s: remaining %d, reset %v, next %v; the model says %d, %v, %v", s.Name, s.Remaining, s.Reset, s.Next, remaining, up(b), next)
		}
		if !allowed {
			over := new(big.Rat).Add(b, span(l, cost))
			longest = max(longest, up(over.Sub(over, room)))
		}
	}
	if d.RetryAfter != longest {
		return fmt.Errorf("retry after %v, the model says %v", d.RetryAfter, longest)
	}
	return nil
}
