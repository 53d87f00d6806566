package outbox_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// TestProjectionCountsEachEventOnce runs three relays of one projection that fail, lose their connection before or after
// COMMIT and are stopped, and compares its table with what happened.
func TestProjectionCountsEachEventOnce(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	_, err := pg.Owner.Exec(t.Context(), `create table totals (tenant_id text not null, key text not null, n int not null, primary key (tenant_id, key));
		select tenancy.protect('totals')`)
	require.NoError(t, err)
	proxy := testenv.Proxy(t, addrOf(t, pg.SystemURL))
	cut := on(t, pg.App, through(t, pg.SystemURL, proxy.Addr))
	var calls atomic.Int64
	sink, err := outbox.Project(cut, "totals", func(ctx context.Context, tx *tenancy.Tx, events []outbox.Event) error {
		for _, e := range events {
			tx.Defer(`insert into totals (tenant_id, key, n) values ($1, $2, 1)
				on conflict (tenant_id, key) do update set n = totals.n + 1`, e.Tenant, e.Key)
		}
		if calls.Add(1)%8 == 0 {
			return errors.New("planned")
		}
		return nil
	})
	require.NoError(t, err)
	opts := &outbox.Options{Batch: 5, MaxPoll: 5 * time.Millisecond, Logger: discard()}
	stops := []func(){run(t, cut, sink, opts), run(t, cut, sink, opts), run(t, cut, sink, opts)}
	want := map[string]int{}
	rounds := testenv.Rounds(200, 3000)
	for n := range rounds {
		tenant, key := []string{"acme", "other"}[n%2], []string{"a", "b", "c"}[n%3]
		require.NoError(t, change(tenancy.WithID(t.Context(), tenant), db, key, func() {}))
		want[tenant+"/"+key]++
		switch i := rand.N(12); i {
		case 0, 1, 2:
			stops[i]()
			stops[i] = run(t, cut, sink, opts)
		case 3:
			proxy.Reset()
		}
	}
	require.Eventually(t, func() bool {
		got := map[string]int{}
		rows, err := tenancy.All[struct {
			Tenant string `db:"tenant_id"`
			Key    string
			N      int
		}](tenancy.System(t.Context(), "test"), db, `select tenant_id, key, n from totals`)
		if err != nil {
			t.Error(err)
			return true
		}
		sum := 0
		for _, r := range rows {
			got[r.Tenant+"/"+r.Key] = r.N
			sum += r.N
		}
		return sum >= rounds && len(got) == len(want) // more is found below: an event was counted twice
	}, 2*time.Minute, 10*time.Millisecond)
	for _, stop := range stops {
		stop()
	}
	require.Greater(t, calls.Load(), int64(8), "no call failed")
	for id, n := range want {
		var got int
		require.NoError(t, pg.System.QueryRow(t.Context(), `select n from totals where tenant_id || '/' || key = $1`, id).Scan(&got))
		require.Equal(t, n, got, id)
	}
}

func TestProjectRefusesIncompleteCalls(t *testing.T) {
	t.Parallel()
	_, err := outbox.Project(nil, "x", nil)
	require.ErrorContains(t, err, "needs")
}
