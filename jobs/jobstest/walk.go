package jobstest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// walkSteps is the length of a walk: long enough that everything meets
// everything else, short enough to read.
const walkSteps = 120

// RunWalks makes random calls on n new queues, with crashes, lost answers,
// pauses, limits, flows and schedules among them, those in code, too, and
// compares all answers with a simple model: no accepted job may get lost, run
// twice, be in two states, overtake its tenant's, exceed a limit or get stuck, no
// tick be fired twice or early. With Features.Bubble hours and years go by in
// between. It prints a failure with few steps.
func RunWalks(t *testing.T, open func(t testing.TB) driver.Driver, f Features, n int) {
	t.Helper()
	for seed := range uint64(n) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			body := func(t *testing.T) {
				if failure := tryWalk(t.Context(), func() driver.Driver { return open(t) }, seed, walkSteps, 300, f.Bubble); failure != "" {
					t.Fatal(failure)
				}
			}
			if f.Bubble {
				synctest.Test(t, body)
				return
			}
			t.Parallel()
			body(t)
		})
	}
}

// tryWalk walks, makes a failure smaller and tells it; "" is none.
func tryWalk(ctx context.Context, open func() driver.Driver, seed uint64, n, tries int, virtual bool) string {
	steps := make([]int, n)
	for i := range steps {
		steps[i] = i
	}
	var failed *walk
	var failure error
	fails := func(steps []int) bool {
		w := newWalk(ctx, open(), seed, virtual)
		err := w.run(steps)
		if err != nil {
			failed, failure = w, err
		}
		return err != nil
	}
	if !fails(steps) {
		return ""
	}
	steps = shrink(steps, tries, fails)
	return fmt.Sprintf("seed %d, steps %v: %v\nwhat happened:\n%s", seed, steps, failure, failed.report())
}

// walk makes random calls on a driver and compares every answer with a model.
// A step depends on nothing but the seed, its number and the state before it,
// so that steps can be left out when a failure is made smaller.
type walk struct {
	ctx    context.Context
	d      driver.Driver
	rand   *rand.Rand // of the present step
	seed   uint64
	m      *model
	uses   uses
	names  int
	trace  []string
	token  bool // a call left work since the last wait
	opened bool // ready jobs were asked for with room to spare, and all were given
}

// uses is what a walk is about, so that some have little in the way.
type uses struct {
	priorities, delays, uniques, pauses, kinds, limits, rates, weights, flows, schedules, crons, leaps bool
}

// errWalk is a difference between driver and model.
var errWalk = errors.New("driver and model differ")

// newWalk takes leaps only if its time is virtual.
func newWalk(ctx context.Context, d driver.Driver, seed uint64, virtual bool) *walk {
	flip := rand.New(rand.NewPCG(seed, 0))
	one := func() bool { return flip.IntN(2) == 0 }
	return &walk{
		ctx: ctx, d: d, seed: seed, m: newModel(),
		uses: uses{one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one() && virtual},
	}
}

// run takes the steps and then lets the queue run empty.
func (w *walk) run(steps []int) error {
	for _, step := range steps {
		w.rand = rand.New(rand.NewPCG(w.seed, uint64(step)+1))
		w.names = step * 10
		w.m.began = time.Now()
		if err := w.step(); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	w.rand = rand.New(rand.NewPCG(w.seed, 1<<32))
	w.m.began = time.Now()
	if err := w.empty(); err != nil {
		return fmt.Errorf("emptying the queue: %w", err)
	}
	return nil
}

// op is a kind of step.
type op struct {
	weight int
	do     func(*walk) error
	on     bool
}

func (w *walk) step() error {
	ops := []op{
		{30, (*walk).push, true},
		{4, (*walk).pushAt, true},
		{8, (*walk).startFlow, w.uses.flows},
		{2, (*walk).cancelFlow, w.uses.flows},
		{20, (*walk).schedule, w.uses.schedules},
		{20, (*walk).tick, w.uses.crons},
		{4, (*walk).leap, w.uses.leaps},
		{35, (*walk).exchange, true},
		{4, (*walk).ghost, true},
		{6, (*walk).beat, true},
		{4, (*walk).join, true},
		{5, (*walk).crash, true},
		{3, (*walk).revive, true},
		{3, (*walk).leave, true},
		{6, (*walk).cancel, true},
		{5, (*walk).requeue, true},
		{3, (*walk).delete, true},
		{8, (*walk).sweep, true},
		{8, (*walk).pause, w.uses.pauses || w.uses.kinds},
		{8, (*walk).limit, w.uses.limits || w.uses.rates},
		{3, (*walk).weigh, w.uses.weights},
		{4, (*walk).wait, true},
		{3, (*walk).sleep, w.uses.delays},
		{6, (*walk).look, true},
	}
	total := 0
	for _, o := range ops {
		if o.on {
			total += o.weight
		}
	}
	pick := w.rand.IntN(total)
	for _, o := range ops {
		if !o.on {
			continue
		}
		if pick -= o.weight; pick < 0 {
			return o.do(w)
		}
	}
	return nil
}

// logf keeps a line for the report of a failure.
func (w *walk) logf(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// differ makes the error of a difference.
func (w *walk) differ(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errWalk, fmt.Sprintf(format, args...))
}

func (w *walk) equal(what string, want, got any) error {
	if fmt.Sprint(want) == fmt.Sprint(got) {
		return nil
	}
	return w.differ("%s: model %v, driver %v", what, want, got)
}

// chance is true once in n times.
func (w *walk) chance(n int) bool { return w.rand.IntN(n) == 0 }

// one picks an element, or answers the zero value of none.
func one[T any](w *walk, list []T) (picked T) {
	if len(list) > 0 {
		picked = list[w.rand.IntN(len(list))]
	}
	return picked
}

// workers are the names of those that have a lease.
func (w *walk) workers() []string {
	names := []string{}
	for name := range w.m.workers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// name is a new one.
func (w *walk) name(prefix string) string {
	w.names++
	return fmt.Sprintf("%s%05d", prefix, w.names)
}

// someIDs are ids of jobs of any state, and one that never was.
func (w *walk) someIDs(n int) []string {
	all := []string{"never"}
	for id := range w.m.jobs {
		all = append(all, id)
	}
	slices.Sort(all)
	w.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

func (w *walk) sleep() error {
	w.logf("sleep")
	w.pass(5 * time.Millisecond) // the length of the short delays
	return nil
}

// pass lets time go by: virtual time in a bubble, and otherwise that of the
// store, which has nothing else to wait for: what is due becomes so in silence.
func (w *walk) pass(d time.Duration) { <-time.After(d) }

// shrink leaves steps out while the walk still fails, within a number of tries.
func shrink(steps []int, tries int, fails func([]int) bool) []int {
	for size := len(steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(steps) && tries > 0; {
			less := slices.Concat(steps[:at], steps[at+size:])
			tries--
			if fails(less) {
				steps = less
			} else {
				at += size
			}
		}
	}
	return steps
}

func (w *walk) report() string { return "  " + strings.Join(w.trace, "\n  ") }
