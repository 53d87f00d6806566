package pgbilling_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
	"github.com/ashlar-go/ashlar/billing/pgbilling"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// shop is a Billing over a store, with the fake provider and one paid checkout whose webhooks wait.
func shop(t *testing.T, store billing.Store) (b *billing.Billing, fake *billingtest.Provider, sub string) {
	t.Helper()
	fake = billingtest.NewProvider(&billingtest.ProviderOptions{ReturnURL: "https://app.example"})
	b, err := billing.New(billingtest.Plans(), fake, store, &billing.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	s, err := b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "pro"})
	require.NoError(t, err)
	sub, err = fake.Complete(s.ID)
	require.NoError(t, err)
	return b, fake, sub
}

// requireTruth compares all that the provider knows with what the store has.
func requireTruth(t *testing.T, b *billing.Billing, fake *billingtest.Provider, sub string) {
	t.Helper()
	want := fake.Truth()[sub]
	want.Tenant = "default"
	got, err := b.Subscription(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// storm changes the subscription while its webhooks are delivered by many goroutines, twice each, until accepted.
// The first handler that has fetched holds what it read until all others are done, so a store without a
// fence surely ends with an old state.
func storm(t *testing.T, b *billing.Billing, fake *billingtest.Provider, sub string, changes int, disturb func(i int)) {
	t.Helper()
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(1, 2))
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	var held atomic.Bool
	holding, release := make(chan struct{}), make(chan struct{})
	fake.SetFault(func(_ context.Context, c billingtest.Call) error {
		if c.Done {
			if held.CompareAndSwap(false, true) {
				close(holding)
				<-release
			}
			<-time.After(time.Duration(roll(15)) * time.Millisecond)
		}
		return nil
	})
	defer fake.SetFault(nil)
	deadline := time.Now().Add(2 * time.Minute)
	life := []billing.State{billing.StateActive, billing.StatePastDue, billing.StateUnpaid}
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(1) // this function
	finish := func() {
		if left.Add(-1) == 1 {
			close(release)
		}
	}
	for i := range changes {
		if i == changes-1 {
			<-holding // so what it holds is older than the last change
		}
		require.NoError(t, fake.Update(sub, func(s *billing.Subscription) {
			s.State, s.PeriodEnd = life[i%len(life)], s.PeriodEnd.Add(time.Hour)
		}))
		for _, d := range fake.Deliveries() {
			for range 2 {
				left.Add(1)
				wg.Go(func() {
					defer finish()
					for d.Send(b.Webhook()) != http.StatusNoContent {
						if time.Now().After(deadline) {
							t.Error("a webhook was not accepted in two minutes")
							return
						}
						<-time.After(time.Duration(roll(20)) * time.Millisecond)
					}
				})
			}
		}
		<-time.After(time.Duration(roll(8)) * time.Millisecond) // lets some handlers fetch before the next change
		disturb(i)
	}
	finish()
	wg.Wait()
}

func TestConcurrentWebhooks(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	b, fake, sub := shop(t, s)
	storm(t, b, fake, sub, 30, func(int) {})
	requireTruth(t, b, fake, sub)
}

// Connections are killed in the middle of webhooks: none is half done, none acknowledged and lost.
func TestKilledConnections(t *testing.T) {
	t.Parallel()
	s, pg := setup(t)
	b, fake, sub := shop(t, s)
	killed := 0
	storm(t, b, fake, sub, 30, func(int) {
		// The system role may end its own sessions.
		var n int
		err := pg.System.QueryRow(t.Context(), `select count(pg_terminate_backend(pid)) from pg_stat_activity
			where usename = current_user and datname = current_database() and pid <> pg_backend_pid()`).Scan(&n)
		if err == nil {
			killed += n
		}
	})
	require.Positive(t, killed)
	requireTruth(t, b, fake, sub)

	var behind int
	require.NoError(t, pg.System.QueryRow(t.Context(), `select count(*) from billing.syncs where applied < generation`).Scan(&behind))
	require.Zero(t, behind)
}

// The network is reset, and then gone: entitlements fail closed, webhooks are not acknowledged, and all heals.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, pgbilling.Migrations)
	direct := pg.System.Config().ConnConfig
	proxy := testenv.Proxy(t, target(direct.Host, direct.Port))
	cfg, err := pgxpool.ParseConfig(pg.SystemURL)
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(proxy.Addr)
	require.NoError(t, err)
	cfg.ConnConfig.Host = host
	_, err = fmt.Sscan(port, &cfg.ConnConfig.Port)
	require.NoError(t, err)
	cfg.ConnConfig.Fallbacks = nil
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s, err := pgbilling.New(pool, nil)
	require.NoError(t, err)

	b, fake, sub := shop(t, s)
	storm(t, b, fake, sub, 20, func(i int) {
		if i%3 == 0 {
			proxy.Reset()
		}
	})
	requireTruth(t, b, fake, sub)

	require.NoError(t, fake.SetState(sub, billing.StateCanceled))
	d := fake.Deliveries()[0]
	proxy.Cut()
	require.ErrorIs(t, b.Can(t.Context(), "projects", 1).Err(), billing.ErrUnavailable)
	require.Equal(t, http.StatusServiceUnavailable, d.Send(b.Webhook()))
	proxy.Restore()
	accepted := false
	for range 2 * cfg.MaxConns { // each attempt may meet one more of the pool's dead connections
		if accepted = d.Send(b.Webhook()) == http.StatusNoContent; accepted {
			break
		}
	}
	require.True(t, accepted)
	requireTruth(t, b, fake, sub)
}

// target is what testenv.Proxy dials: host:port, or the socket in a directory.
func target(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return fmt.Sprintf("%s/.s.PGSQL.%d", host, port)
	}
	return net.JoinHostPort(host, fmt.Sprint(port))
}

// unfenced plants the classical fault into the real store: whoever stores last wins.
type unfenced struct {
	billing.Store
	pool *pgxpool.Pool
}

func (u unfenced) Apply(ctx context.Context, sub billing.Subscription, gen int64) (billing.Change, error) {
	c, err := u.Store.Apply(ctx, sub, gen)
	if err == nil && !c.Stored {
		_, err = u.pool.Exec(ctx, `update billing.subscriptions set state = $1, period_end = $2 where subscription_id = $3`, sub.State, sub.PeriodEnd, sub.ID)
	}
	return c, err
}

// TestConcurrentWebhooks can fail: without the fence the same storm leaves an old state behind.
func TestStormCatchesAMissingFence(t *testing.T) {
	t.Parallel()
	s, pg := setup(t)
	b, fake, sub := shop(t, unfenced{s, pg.System})
	storm(t, b, fake, sub, 6, func(int) {})
	got, err := b.Subscription(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, fake.Truth()[sub].PeriodEnd, got.PeriodEnd, "the storm proves nothing")
}
