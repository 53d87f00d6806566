package analytics_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

// quiet is a logger for tests that provoke errors.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// start runs a in the background and returns what stops it and waits.
func start(t *testing.T, a *analytics.Analytics) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// elapse lets virtual time pass in a synctest bubble.
func elapse(d time.Duration) { <-time.After(d) }

func track(t *testing.T, a *analytics.Analytics, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		require.NoError(t, SignedUp.Track(t.Context(), a, SignUp{Seats: i}))
	}
}

// seats returns the seats of all stored events, which is the order in which they were tracked.
func seats(t *testing.T, s *analyticstest.Store) []int {
	t.Helper()
	var out []int
	for _, r := range s.Records() {
		v, err := SignedUp.Decode(r)
		require.NoError(t, err)
		out = append(out, v.Seats)
	}
	return out
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestRunDeliversByTimeAndBySize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &sizes{Store: analyticstest.NewStore()}
		a, err := analytics.New(store, &analytics.Options{BatchSize: 10, FlushInterval: time.Minute})
		require.NoError(t, err)
		stop := start(t, a)
		track(t, a, 0, 9)
		synctest.Wait()
		require.Empty(t, store.Records(), "neither full nor time")
		track(t, a, 9, 10)
		synctest.Wait()
		require.Len(t, store.Records(), 10, "full")
		track(t, a, 10, 11)
		elapse(time.Minute)
		synctest.Wait()
		require.Equal(t, upTo(11), seats(t, store.Store))
		track(t, a, 11, 36)
		require.NoError(t, stop())
		require.Equal(t, upTo(36), seats(t, store.Store), "Run drains")
		require.Equal(t, []int{10, 1}, store.got[:2])
		require.LessOrEqual(t, slices.Max(store.got), 10)
	})
}

// sizes is a store that notes the size of each batch.
type sizes struct {
	*analyticstest.Store
	got []int
}

func (s *sizes) Insert(ctx context.Context, b analytics.Batch) error {
	s.got = append(s.got, len(b.Records))
	return s.Store.Insert(ctx, b)
}

func TestOutageBuildsABacklogThatIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reports := &reporter{}
		a, store := analyticstest.New(t, &analytics.Options{BatchSize: 7, Logger: quiet, Errors: reports, Metrics: reports})
		stop := start(t, a)
		store.SetDown(true)
		track(t, a, 0, 50)
		elapse(10 * time.Minute)
		st := a.Stats()
		require.EqualValues(t, 50, st.Backlog)
		require.Positive(t, st.BacklogBytes)
		require.False(t, st.Oldest.IsZero())
		require.Greater(t, st.Retried, uint64(40), "at most 15 s between attempts")
		require.Less(t, st.Retried, uint64(120), "attempts back off")
		require.Len(t, reports.errs, 1, "an outage is reported once")
		require.ErrorIs(t, reports.errs[0], analyticstest.ErrDown)
		store.SetDown(false)
		store.LoseAnswers(3)
		elapse(2 * time.Minute)
		require.Equal(t, upTo(50), seats(t, store), "in order, each once, although three answers were lost")
		st = a.Stats()
		require.Zero(t, st.Backlog)
		require.Zero(t, st.BacklogBytes)
		require.True(t, st.Oldest.IsZero())
		require.NoError(t, stop())
		require.EqualValues(t, 50, reports.counts["analytics.tracked"])
		require.EqualValues(t, 50, reports.counts["analytics.sent"])
		require.EqualValues(t, a.Stats().Retried, reports.counts["analytics.retried"])
	})
}

// forgetful is a store that ignores tokens: the fault that the tests of exactly-once must notice.
type forgetful struct{ *analyticstest.Store }

func (f forgetful) Insert(ctx context.Context, b analytics.Batch) error {
	b.Token = fmt.Sprint(b.Token, len(f.Attempts()))
	return f.Store.Insert(ctx, b)
}

func TestLostAnswersWouldDuplicateWithoutTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := analyticstest.NewStore()
		a, err := analytics.New(forgetful{store}, &analytics.Options{Logger: quiet})
		require.NoError(t, err)
		store.LoseAnswers(1)
		track(t, a, 0, 3)
		require.NoError(t, a.Flush(t.Context()))
		require.Equal(t, []int{0, 1, 2, 0, 1, 2}, seats(t, store))
	})
}

func TestResentBatchInMemoryIsTheSameBatch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	store := &recorder{Store: analyticstest.NewStore(), after: cancel}
	a, err := analytics.New(store, &analytics.Options{Logger: quiet})
	require.NoError(t, err)
	track(t, a, 0, 3)
	store.LoseAnswers(1)
	require.Error(t, a.Flush(ctx), "one attempt, whose answer is lost")
	track(t, a, 3, 5)
	require.NoError(t, a.Flush(t.Context()))
	require.Equal(t, store.batches[0], store.batches[1])
	require.Equal(t, upTo(5), seats(t, store.Store))
}

// silent is a store whose first answer never comes.
type silent struct {
	*analyticstest.Store
	calls int
}

func (s *silent) Insert(ctx context.Context, b analytics.Batch) error {
	if s.calls++; s.calls == 1 {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.Insert(ctx, b)
}

func TestSilentStoreIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, err := analytics.New(&silent{Store: analyticstest.NewStore()}, &analytics.Options{Logger: quiet})
		require.NoError(t, err)
		track(t, a, 0, 1)
		begin := time.Now()
		require.NoError(t, a.Flush(t.Context()))
		require.Less(t, time.Since(begin), time.Minute)
	})
}

func TestFlushGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, store := analyticstest.New(t, &analytics.Options{Logger: quiet})
		store.SetDown(true)
		track(t, a, 0, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := a.Flush(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, analyticstest.ErrDown)
		store.SetDown(false)
		require.NoError(t, a.Flush(t.Context()))
		require.NoError(t, a.Flush(ctx), "nothing is left to deliver")
	})
}

func TestStoppingWithoutDirSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, store := analyticstest.New(t, &analytics.Options{Logger: quiet, DrainTimeout: 2 * time.Second})
		store.SetDown(true)
		stop := start(t, a)
		track(t, a, 0, 3)
		begin := time.Now()
		err := stop()
		require.ErrorContains(t, err, "3 events")
		require.ErrorIs(t, err, analyticstest.ErrDown)
		require.Equal(t, 2*time.Second, time.Since(begin))
	})
}

func TestFullBacklog(t *testing.T) {
	t.Parallel()
	metrics := &reporter{}
	full := func(t *testing.T, policy analytics.Policy) (*analytics.Analytics, *analyticstest.Store, int) {
		a, store := analyticstest.New(t, &analytics.Options{WhenFull: policy, MaxBacklog: 10_000, Logger: quiet, Metrics: metrics})
		n := 0
		for ; a.Stats().BacklogBytes < 9_900; n++ {
			track(t, a, n, n+1)
		}
		return a, store, n
	}
	t.Run("block", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			a, store, n := full(t, analytics.Block)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := SignedUp.Track(ctx, a, SignUp{Plan: strings.Repeat("x", 200)})
			require.ErrorIs(t, err, analytics.ErrFull)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					if err := SignedUp.Track(t.Context(), a, SignUp{Seats: n + i, Plan: strings.Repeat("x", 200)}); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			require.EqualValues(t, n, a.Stats().Backlog)
			require.NoError(t, a.Flush(t.Context()))
			wg.Wait()
			require.NoError(t, a.Flush(t.Context()))
			got := seats(t, store)
			slices.Sort(got)
			require.Equal(t, upTo(n+20), got)
		})
	})
	t.Run("drop", func(t *testing.T) {
		t.Parallel()
		a, store, n := full(t, analytics.Drop)
		for range 5 {
			require.NoError(t, SignedUp.Track(t.Context(), a, SignUp{Plan: strings.Repeat("x", 200)}))
		}
		require.EqualValues(t, 5, a.Stats().Dropped)
		require.EqualValues(t, 5, metrics.count("analytics.dropped"))
		require.NoError(t, a.Flush(t.Context()))
		track(t, a, n, n+1)
		require.NoError(t, a.Flush(t.Context()))
		require.Equal(t, upTo(n+1), seats(t, store))
	})
	t.Run("fail", func(t *testing.T) {
		t.Parallel()
		a, store, n := full(t, analytics.Fail)
		require.ErrorIs(t, SignedUp.Track(t.Context(), a, SignUp{Plan: strings.Repeat("x", 200)}), analytics.ErrFull)
		require.NoError(t, a.Flush(t.Context()))
		require.Equal(t, upTo(n), seats(t, store))
		require.ErrorIs(t, SignedUp.Track(t.Context(), a, SignUp{Plan: strings.Repeat("x", 10_000)}), analytics.ErrFull, "never fits")
	})
}

func TestRefusedEventsDieAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reports := &reporter{}
		a, store := analyticstest.New(t, &analytics.Options{Logger: quiet, Errors: reports, Metrics: reports})
		store.Refuse(func(r analytics.Record) bool {
			v, err := SignedUp.Decode(r)
			return err != nil || v.Plan == "poison"
		})
		want := upTo(1000)
		for i := range 1000 {
			plan := "pro"
			if i == 0 || i == 333 || i == 999 {
				plan = "poison"
				want = slices.DeleteFunc(want, func(n int) bool { return n == i })
			}
			require.NoError(t, SignedUp.Track(t.Context(), a, SignUp{Plan: plan, Seats: i}))
		}
		require.NoError(t, a.Flush(t.Context()))
		require.Equal(t, want, seats(t, store))
		require.EqualValues(t, 3, a.Stats().Dead)
		require.EqualValues(t, 3, reports.counts["analytics.dead"])
		require.EqualValues(t, 997, reports.counts["analytics.sent"])
		require.Zero(t, a.Stats().Backlog)
		require.Len(t, reports.errs, 1)
		require.ErrorIs(t, reports.errs[0], analytics.ErrRejected)
		require.Less(t, len(store.Attempts()), 100)
	})
}

func TestStoreThatRefusesEverythingIsAskedBoundedly(t *testing.T) {
	t.Parallel()
	a, store := analyticstest.New(t, &analytics.Options{Logger: quiet})
	store.Refuse(func(analytics.Record) bool { return true })
	track(t, a, 0, 5000)
	require.NoError(t, a.Flush(t.Context()))
	require.EqualValues(t, 5000, a.Stats().Dead)
	require.Less(t, len(store.Attempts()), 600)
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"", t.TempDir()} {
		a, err := analytics.New(analyticstest.NewStore(), &analytics.Options{Dir: dir, Logger: quiet, FlushInterval: time.Millisecond})
		require.NoError(t, err)
		track(t, a, 0, 1)
		require.NoError(t, a.Close())
		require.NoError(t, a.Close())
		require.ErrorIs(t, SignedUp.Track(t.Context(), a, SignUp{}), analytics.ErrClosed)
		require.ErrorIs(t, a.Flush(t.Context()), analytics.ErrClosed)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.ErrorIs(t, a.Run(ctx), analytics.ErrClosed)
		_, err = a.Value(t.Context(), SignedUp.Count(), analytics.Last(time.Hour), nil)
		require.NoError(t, err, "queries go on")

		if dir != "" {
			dir = t.TempDir()
		}
		a, err = analytics.New(analyticstest.NewStore(), &analytics.Options{Dir: dir, FlushInterval: time.Millisecond})
		require.NoError(t, err)
		require.NoError(t, a.Close())
		require.ErrorIs(t, a.Flush(ctx), analytics.ErrClosed, "with nothing to deliver too")
		require.ErrorIs(t, a.Run(ctx), analytics.ErrClosed)
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	t.Parallel()
	for _, opts := range []analytics.Options{
		{WhenFull: 9}, {MaxBacklog: -1}, {BatchSize: -1}, {BatchSize: 1_000_001}, {FlushInterval: -1},
	} {
		_, err := analytics.New(analyticstest.NewStore(), &opts)
		require.ErrorContains(t, err, "Options.")
	}
	_, err := analytics.New(nil, nil)
	require.ErrorContains(t, err, "Store")
}

// reporter collects what goes over the Errors and Metrics seams.
type reporter struct {
	mu     sync.Mutex
	errs   []error
	counts map[string]float64
}

func (r *reporter) Report(_ context.Context, err error, _ []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *reporter) count(name string) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[name]
}

func (r *reporter) Add(_ context.Context, name string, n float64, _ ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]float64{}
	}
	r.counts[name] += n
}
