package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// slowPush is a driver whose pushes take a second, and that remembers how many
// jobs each carried and how many calls were under way at most.
type slowPush struct {
	driver.Driver
	mu    sync.Mutex
	sizes []int
	now   int
	most  int
	fail  func(jobs []driver.Job) error
}

// count tells of calls that begin and end.
func (s *slowPush) count(calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += calls
	s.most = max(s.most, s.now)
}

func (s *slowPush) Push(ctx context.Context, p driver.Push) ([]driver.Pushed, error) {
	s.mu.Lock()
	s.sizes = append(s.sizes, len(p.Jobs))
	s.mu.Unlock()
	s.count(1)
	defer s.count(-1)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Second):
	}
	if s.fail != nil {
		if err := s.fail(p.Jobs); err != nil {
			return nil, err
		}
	}
	return s.Driver.Push(ctx, p)
}

// together enqueues Note 0 to n-1 at the same instant and returns the errors.
func together(b *bench, q *jobs.Queue, n int, ctx func(i int) context.Context) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			r, err := q.Enqueue(ctx(i), Note{N: i}, &jobs.EnqueueOptions{ID: fmt.Sprint("n", i)})
			if err == nil && r.ID != fmt.Sprint("n", i) {
				err = errors.New("the receipt of " + r.ID)
			}
			errs[i] = err
		})
		synctest.Wait() // in this order
	}
	all.Wait()
	return errs
}

func TestEnqueuesShareCalls(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		s := &slowPush{Driver: b.d}
		q, err := jobs.New(s, nil)
		require.NoError(b, err)
		began := time.Now()
		for _, err := range together(b, q, 600, func(int) context.Context { return b.Context() }) {
			require.NoError(b, err)
		}
		require.Equal(b, []int{1, 256, 256, 87}, s.sizes, "the first at once, the others in shared calls")
		require.Equal(b, 4*time.Second, time.Since(began))
		require.Equal(b, 1, s.most)
		b.stats(jobs.Stats{Ready: 600})

		_, err = q.Enqueue(b.Context(), Note{}, nil) // all flights have ended: it goes alone
		require.NoError(b, err)
		require.Equal(b, 1, s.sizes[4])
	})
}

// A call that takes long has another beside it, but not a third.
func TestSlowCallsOverlap(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		s := &slowPush{Driver: b.d}
		q, err := jobs.New(s, nil)
		require.NoError(b, err)
		began := time.Now()
		ends := make([]time.Duration, 6)
		var all sync.WaitGroup
		for i, after := range []time.Duration{0, 999, 1000, 1500, 3000, 9000} { // microseconds
			all.Go(func() {
				<-time.After(after * time.Microsecond)
				_, err := q.Enqueue(b.Context(), Note{N: i}, nil)
				if err != nil {
					b.Error(err)
				}
				ends[i] = time.Since(began).Truncate(time.Millisecond)
			})
		}
		all.Wait()
		const first, second, third = time.Second, time.Second + time.Millisecond, 2 * time.Second
		require.Equal(b, []time.Duration{first, second, second, third, third, third}, ends)
		require.Equal(b, []int{1, 2, 3}, s.sizes)
		require.Equal(b, 2, s.most)
	})
}

func TestEachEnqueueObeysItsOwnContext(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		s := &slowPush{Driver: b.d}
		q, err := jobs.New(s, nil)
		require.NoError(b, err)
		short, cancel := context.WithTimeout(b.Context(), 100*time.Millisecond)
		defer cancel()
		middle, cancel := context.WithTimeout(b.Context(), 1500*time.Millisecond)
		defer cancel()
		// 0 makes a call of its own; 2 gives up while it waits for one, 3 while
		// its call is under way; 1 and 4 share that and must not suffer.
		errs := together(b, q, 5, func(i int) context.Context {
			switch i {
			case 2:
				return short
			case 3:
				return middle
			}
			return b.Context()
		})
		require.NoError(b, errs[0])
		require.NoError(b, errs[1])
		require.ErrorIs(b, errs[2], context.DeadlineExceeded)
		require.ErrorIs(b, errs[3], context.DeadlineExceeded)
		require.NoError(b, errs[4])
		require.Equal(b, []int{1, 3}, s.sizes, "who gave up in time is not stored")
	})
}

// mirror answers each job with its own id.
type mirror struct{ driver.Driver }

func (m mirror) Push(ctx context.Context, p driver.Push) ([]driver.Pushed, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Millisecond):
	}
	answers := make([]driver.Pushed, len(p.Jobs))
	for i, j := range p.Jobs {
		answers[i].Holder = "holder-of-" + j.ID
	}
	return answers, nil
}

// Many callers who come, wait, give up and come again, each with another job.
func TestEachEnqueueGetsItsOwnAnswer(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		q, err := jobs.New(mirror{b.d}, nil)
		require.NoError(b, err)
		var callers sync.WaitGroup
		var answered, gaveUp atomic.Int32
		for c := range 40 {
			callers.Go(func() {
				for i := range 50 {
					patience := time.Duration(1+(c+i)%7) * 400 * time.Microsecond
					ctx, cancel := context.WithTimeout(b.Context(), patience)
					id := fmt.Sprintf("c%d-%d", c, i)
					r, err := q.Enqueue(ctx, Note{}, &jobs.EnqueueOptions{ID: id})
					cancel()
					if err != nil {
						gaveUp.Add(1)
						continue
					}
					answered.Add(1)
					if r.ID != "holder-of-"+id {
						b.Errorf("the answer to %s is %s", id, r.ID)
					}
				}
			})
		}
		callers.Wait()
		b.Logf("%d answered, %d gave up", answered.Load(), gaveUp.Load())
		require.Greater(b, answered.Load(), int32(100))
		require.Greater(b, gaveUp.Load(), int32(100))
	})
}

func TestSharedCallEndsWhenNobodyWaits(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		s := &slowPush{Driver: b.d}
		q, err := jobs.New(s, nil)
		require.NoError(b, err)
		middle, cancel := context.WithTimeout(b.Context(), 1500*time.Millisecond)
		defer cancel()
		errs := together(b, q, 4, func(i int) context.Context {
			if i == 0 {
				return b.Context()
			}
			return middle
		})
		require.ErrorIs(b, errs[2], context.DeadlineExceeded)
		b.sleep(2 * time.Second)
		b.stats(jobs.Stats{Ready: 1}) // the call was given up half-way
	})
}

func TestFullQueueTakesWhatFits(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		s := &slowPush{Driver: b.d}
		q, err := jobs.New(s, &jobs.Options{MaxDepth: 10})
		require.NoError(b, err)
		stored, full := 0, 0
		for _, err := range together(b, q, 40, func(int) context.Context { return b.Context() }) {
			switch {
			case err == nil:
				stored++
			case errors.Is(err, jobs.ErrQueueFull):
				full++
			default:
				b.Error(err)
			}
		}
		require.Equal(b, 10, stored, "a batch that is too large keeps nobody out who fits")
		require.Equal(b, 30, full)
		require.Less(b, len(s.sizes), 20, "the refused are not asked for one by one")
		require.Equal(b, 1, s.most, "one call follows a batch in parts, not one each part")
		b.stats(jobs.Stats{Ready: 10})
		_, err = q.EnqueueMany(b.Context(), []jobs.Item{{Args: Note{}}, {Args: Note{}}})
		require.ErrorIs(b, err, jobs.ErrQueueFull)
	})
}

func TestFailedCallFailsThoseInIt(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		s := &slowPush{Driver: b.d, fail: func(batch []driver.Job) error {
			if len(batch) > 1 {
				return errDown
			}
			return nil
		}}
		q, err := jobs.New(s, nil)
		require.NoError(b, err)
		errs := together(b, q, 5, func(int) context.Context { return b.Context() })
		require.NoError(b, errs[0])
		for _, err := range errs[1:] {
			require.ErrorIs(b, err, errDown)
		}
	})
}
