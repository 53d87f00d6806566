package httpxtest

import (
	"context"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

func TestLimitsConform(t *testing.T) {
	RunLimits(t, func(*testing.T) ratelimit.Store { return NewLimits() }, LimitFeatures{})
}

// The same where the clock goes on between the calls.
func TestLimitsConformInRealTime(t *testing.T) {
	RunLimits(t, func(*testing.T) ratelimit.Store { return NewLimits() },
		LimitFeatures{Running: true, Tick: func(d time.Duration) { <-time.After(d) }})
}

// plain is the shortest store that conforms, and one fault at a time makes it one that does not.
type plain struct {
	mu    sync.Mutex
	busy  atomic.Int32
	fault string
	start time.Time
	back  time.Duration
	full  map[string]ratelimit.Span
	by    map[string]ratelimit.Take
	drift map[string]float64 // of the fault that counts in seconds
}

func (p *plain) id(group, key string) string {
	switch p.fault {
	case "one bucket for all keys":
		return key
	case "one bucket for all limits":
		return group
	}
	return group + " " + key
}

// read returns the backlog of a bucket now.
func (p *plain) read(now int64, id string, t ratelimit.Take) ratelimit.Span {
	s := p.full[id]
	if p.fault == "counts in seconds" {
		left := max(p.drift[id]-float64(now)/1e6, 0)
		s = ratelimit.Span{Micros: now + int64(left*1e6), Parts: int64(left*1e6*float64(t.Rate)) % t.Rate}
	}
	if s.Micros -= now; s.Micros < 0 {
		return ratelimit.Span{}
	}
	if old, ok := p.by[id]; ok && (old.Rate != t.Rate || old.Per != t.Per) && p.fault != "keeps the time of another limit" {
		micros := (float64(s.Micros) + float64(s.Parts)/float64(old.Rate)) * (float64(t.Per) * float64(old.Rate)) / (float64(t.Rate) * float64(old.Per))
		s = ratelimit.Span{Micros: int64(math.Ceil(min(micros, 1e18)))}
	}
	if !over(s, t.Room) || p.fault == "believes a backlog of any length" {
		return s
	}
	if p.fault != "keeps a backlog of any length" {
		p.full[id], p.by[id] = ratelimit.Span{Micros: now + t.Room.Micros, Parts: t.Room.Parts}, t
	}
	return t.Room
}

func over(a, b ratelimit.Span) bool {
	return a.Micros > b.Micros || a.Micros == b.Micros && a.Parts > b.Parts
}

func (p *plain) Take(ctx context.Context, group string, takes []ratelimit.Take) ([]ratelimit.Span, bool, error) {
	if err := ctx.Err(); err != nil && p.fault != "does not look at the context" {
		return nil, false, err
	}
	if p.fault == "denies when two calls meet" {
		defer p.busy.Add(-1)
		alone := p.busy.Add(1) == 1
		runtime.Gosched()
		if !alone {
			return make([]ratelimit.Span, len(takes)), false, nil
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := (time.Since(p.start) - p.back).Microseconds()
	if p.fault == "the clock stands still" {
		now = 0
	}
	before, after, fits := make([]ratelimit.Span, len(takes)), make([]ratelimit.Span, len(takes)), true
	for i, t := range takes {
		b := p.read(now, p.id(group, t.Key), t)
		before[i] = b
		b.Micros, b.Parts = b.Micros+t.Add.Micros, b.Parts+t.Add.Parts
		if b.Parts >= t.Rate {
			b.Micros, b.Parts = b.Micros+1, b.Parts-t.Rate
		}
		switch {
		case p.fault == "rounds microseconds up" && b.Parts > 0:
			b = ratelimit.Span{Micros: b.Micros + 1}
		case p.fault == "drops what is less than a microsecond":
			b.Parts = 0
		}
		if after[i] = b; over(b, t.Room) {
			fits = false
		}
	}
	if p.fault == "reads, and writes later" {
		p.mu.Unlock()
		runtime.Gosched()
		p.mu.Lock()
	}
	for i, t := range takes {
		switch {
		case fits, p.fault == "takes though another denies" && !over(after[i], t.Room):
			id := p.id(group, t.Key)
			p.full[id], p.by[id] = ratelimit.Span{Micros: now + after[i].Micros, Parts: after[i].Parts}, t
			p.drift[id] = max(p.drift[id], float64(now)/1e6) + float64(t.Add.Micros)/1e6 + float64(t.Add.Parts)/float64(t.Rate)/1e6
		}
	}
	if fits {
		return after, true, nil
	}
	switch p.fault {
	case "answers as if it had taken":
		return after, false, nil
	case "denies without a reason":
		return make([]ratelimit.Span, len(takes)), false, nil
	}
	return before, false, nil
}

func (p *plain) Reset(ctx context.Context, group string, keys []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.fault {
	case "resets nothing":
		return ctx.Err()
	case "resets all":
		clear(p.full)
	case "resets a context that has ended":
		return nil
	}
	for _, key := range keys {
		delete(p.full, p.id(group, key))
		delete(p.drift, p.id(group, key))
	}
	return ctx.Err()
}

// failing returns which cases fail on a store with a fault, by name.
func failing(t *testing.T, fault string) map[string]string {
	failed := map[string]string{}
	for _, c := range limitCases {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				switch p := recover().(type) {
				case nil:
				case *watcher:
					failed[c.name] = p.said
				default:
					panic(p)
				}
			}()
			p := &plain{fault: fault, start: time.Now(), full: map[string]ratelimit.Span{}, by: map[string]ratelimit.Take{}, drift: map[string]float64{}}
			f := LimitFeatures{Back: func(d time.Duration) { p.back += d }}
			c.run(&limitScene{t: &watcher{}, ctx: t.Context(), store: p, f: f})
		})
	}
	return failed
}

func TestLimitSuiteCatches(t *testing.T) {
	require.Empty(t, failing(t, ""), "the store without a fault")
	for fault, want := range map[string]string{
		"takes though another denies":           "AllOrNothing",
		"counts in seconds":                     "NoDrift",
		"rounds microseconds up":                "SmallUnits",
		"drops what is less than a microsecond": "SmallUnits",
		"reads, and writes later":               "Concurrent",
		"the clock stands still":                "Refill",
		"believes a backlog of any length":      "Lowered",
		"keeps a backlog of any length":         "ClockBack",
		"keeps the time of another limit":       "Raised",
		"one bucket for all keys":               "Apart",
		"one bucket for all limits":             "Apart",
		"answers as if it had taken":            "RetryAfter",
		"denies without a reason":               "Burst",
		"denies when two calls meet":            "Concurrent",
		"does not look at the context":          "Context",
		"resets nothing":                        "Reset",
		"resets all":                            "Reset",
		"resets a context that has ended":       "Context",
	} {
		t.Run(fault, func(t *testing.T) {
			failed := failing(t, fault)
			require.Contains(t, slices.Collect(maps.Keys(failed)), want)
			t.Logf("%d cases fail; %s says: %.200s", len(failed), want, failed[want])
		})
	}
}

// FuzzLimitWalk lets the fake and the model go the same random ways.
func FuzzLimitWalk(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) {
			require.NoError(t, WalkLimits(t.Context(), NewLimits(), LimitFeatures{}, seed, 300))
		})
	})
}
