package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// run starts a relay and returns the function that ends it and waits for it.
func run(t *testing.T, db *tenancy.DB, sink outbox.Sink, opts *outbox.Options) (stop func()) {
	t.Helper()
	relay, err := outbox.New(db, sink, opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := relay.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// TestLateCommitIsDelivered holds one transaction open while a later one commits. A reader that remembers the highest
// sequence, planted here, loses the first event; the relay does not.
func TestLateCommitIsDelivered(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	var sink tenancytest.Sink
	defer run(t, db, &sink, nil)()

	naive, cursor := 0, int64(0)
	readNaive := func() {
		var n int
		var top *int64
		require.NoError(t, pg.System.QueryRow(t.Context(), `select count(*), max(seq) from tenancy.outbox where seq > $1`, cursor).Scan(&n, &top))
		naive += n
		if top != nil {
			cursor = *top
		}
	}
	early, err := pg.App.Begin(t.Context())
	require.NoError(t, err)
	defer early.Rollback(context.Background())
	_, err = early.Exec(t.Context(), `select set_config('tenancy.tenant', 'acme', true)`)
	require.NoError(t, err)
	_, err = early.Exec(t.Context(), `insert into tenancy.outbox (id, tenant_id, type, payload) values (gen_random_uuid(), 'acme', 'early', '')`)
	require.NoError(t, err)

	require.NoError(t, change(ctx, db, "late", func() {}))
	wait(t, sink.Wait, 1)
	require.Equal(t, "changed", sink.Events()[0].Type, "a long transaction delays nobody else")
	readNaive()

	require.NoError(t, early.Commit(t.Context()))
	wait(t, sink.Wait, 2)
	require.Equal(t, "early", sink.Events()[1].Type)
	readNaive()
	require.Equal(t, 1, naive, "the planted reader loses the early event")
}

// TestStoppedAndCutRelaysLoseAndDuplicateNothing lets relays fight over one sink while they are stopped at random places,
// their connections are cut, the sink's answers are lost and the sink is thrown back, with writers whose transactions
// overlap, and one transaction open all the time.
func TestStoppedAndCutRelaysLoseAndDuplicateNothing(t *testing.T) {
	t.Parallel()
	const writers, keys = 6, 5
	least := testenv.Rounds(120, 3000) // faults
	db, pg := open(t)
	proxy := testenv.Proxy(t, addrOf(t, pg.SystemURL))
	cut := on(t, pg.App, through(t, pg.SystemURL, proxy.Addr))
	quiet := &outbox.Options{Batch: 13, MaxPoll: 10 * time.Millisecond, Logger: discard()}
	var sink tenancytest.Sink

	long, err := pg.App.Begin(t.Context())
	require.NoError(t, err)
	defer long.Rollback(context.Background())
	_, err = long.Exec(t.Context(), `select pg_current_xact_id()`)
	require.NoError(t, err)

	ctx, stopWriting := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	want, total := map[string]int{}, 0
	for w := range writers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				tenant, key := fmt.Sprint("t", (w+n)%2), fmt.Sprint("k", rand.N(keys))
				err := change(tenancy.WithID(t.Context(), tenant), db, key, func() { pause(time.Duration(rand.N(4)) * time.Millisecond) })
				if err != nil {
					t.Errorf("change: %v", err)
					return
				}
				mu.Lock()
				want[tenant+"/"+key]++
				total++
				mu.Unlock()
			}
		})
	}
	wg.Go(func() { // all faults, one after the other, at random moments
		defer stopWriting()
		stops := []func(){run(t, db, &sink, quiet), run(t, cut, &sink, quiet), run(t, cut, &sink, quiet)}
		defer func() {
			for _, stop := range stops {
				stop()
			}
		}()
		written := func() int {
			mu.Lock()
			defer mu.Unlock()
			return total
		}
		planted := "nowhere" // where the sink stood when its latest lost answer was planned
		for n := 0; n < least || written() <= 100; n++ {
			pause(time.Duration(rand.N(15)) * time.Millisecond)
			switch i := n % 3; n % 5 {
			case 0:
				proxy.Reset()
			case 1:
				// One at a time, or they pile up for the last relay where nothing is delivered.
				if at, _ := sink.Position(t.Context()); at != planted {
					planted = at
					sink.FailNext(errors.New("answer lost"))
				}
			case 2:
				sink.Save()
			case 3:
				sink.Restore()
			default:
				stops[i]()
				stops[i] = run(t, []*tenancy.DB{db, cut, cut}[i], &sink, quiet)
			}
		}
	})
	wg.Wait()
	defer run(t, db, &sink, quiet)()
	wait(t, sink.Wait, total)
	require.Empty(t, faults(sink.Events(), want))
	require.Len(t, sink.Events(), total)
	t.Logf("%d events, at least %d faults: none lost, none twice, each key in order", total, least)

	requireCheckerSees(t, sink.Events(), want)
}

// requireCheckerSees plants each kind of fault into a faultless delivery.
func requireCheckerSees(t *testing.T, events []outbox.Event, want map[string]int) {
	t.Helper()
	require.NotEmpty(t, faults(events[1:], want), "lost")
	require.NotEmpty(t, faults(append(events, events[0]), want), "duplicated")
	swapped := append([]outbox.Event{}, events...)
	for i := range swapped {
		j := i + 1
		for j < len(swapped) && (swapped[i].Key != swapped[j].Key || swapped[i].Tenant != swapped[j].Tenant) {
			j++
		}
		if j < len(swapped) {
			swapped[i], swapped[j] = swapped[j], swapped[i]
			break
		}
	}
	require.NotEmpty(t, faults(swapped, want), "out of order")
}

func TestLargeEventsTravelInSmallBatches(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error {
		for range 6 {
			if err := tenancy.Emit(ctx, "large", "", make([]byte, 1<<20)); err != nil {
				return err
			}
		}
		return nil
	}))
	sink := &sizes{}
	defer run(t, db, sink, nil)()
	wait(t, sink.Wait, 6)
	require.LessOrEqual(t, sink.largest(), 4)
}

// sizes remembers the largest batch.
type sizes struct {
	tenancytest.Sink
	mu  sync.Mutex
	max int
}

// Deliver implements outbox.Sink.
func (s *sizes) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	s.mu.Lock()
	s.max = max(s.max, len(events))
	s.mu.Unlock()
	return s.Sink.Deliver(ctx, from, to, events)
}

func (s *sizes) largest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.max
}

func TestOnceWaitsForAConcurrentHandler(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	const id = "0198c0de-0000-7000-8000-000000000001"
	planned := errors.New("the first handler fails, so another one gets its turn")
	var wg sync.WaitGroup
	var attempts, effects, failures atomic.Int64
	for range 8 {
		wg.Go(func() {
			err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				first, err := outbox.Once(ctx, tx, "counter", id)
				if err != nil || !first {
					return err
				}
				if attempts.Add(1) == 1 {
					return planned
				}
				effects.Add(1)
				return nil
			})
			if errors.Is(err, planned) {
				failures.Add(1)
			} else if err != nil {
				t.Errorf("Once: %v", err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, failures.Load())
	require.EqualValues(t, 1, effects.Load())
}

func TestUnknownPositionStopsDelivery(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	require.NoError(t, kit.DB().Do(tenancy.WithID(t.Context(), "acme"), func(_ context.Context, tx *tenancy.Tx) error {
		tx.Emit(changed{"a", 1})
		return nil
	}))
	var sink tenancytest.Sink
	ok, err := sink.Deliver(t.Context(), "", "something else", nil)
	require.NoError(t, err)
	require.True(t, ok)
	report := make(reports, 1)
	defer run(t, kit.DB(), &sink, &outbox.Options{Logger: discard(), Errors: report})()
	require.ErrorContains(t, <-report, "not one of this version")
	require.Empty(t, sink.Events())
}

type reports chan error

// Report implements the errors seam.
func (r reports) Report(_ context.Context, err error, _ []byte) {
	select {
	case r <- err:
	default:
	}
}

func through(t *testing.T, target, proxy string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(target)
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(proxy)
	require.NoError(t, err)
	n, err := strconv.ParseUint(port, 10, 16)
	require.NoError(t, err)
	cfg.ConnConfig.Host, cfg.ConnConfig.Port, cfg.ConnConfig.Fallbacks = host, uint16(n), nil
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func addrOf(t *testing.T, target string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(target)
	require.NoError(t, err)
	if cfg.Host[0] == '/' {
		return fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port)
	}
	return net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
}

// pause lets time pass between faults; nothing is expected to have happened after it.
func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// wait bounds waiting, so that a lost event fails the test instead of hanging it.
func wait(t *testing.T, until func(context.Context, int) error, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, until(ctx, n), "events are missing")
}
