package devclickhouse_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/require"
)

// TestManyClients mixes queries, inserts, mistakes and clients that leave at a
// random moment. Nothing may fail that should not, no row may get lost, and no
// query may stay behind.
func TestManyClients(t *testing.T) {
	t.Parallel()
	c := open(t, func(o *clickhouse.Options) { o.MaxOpenConns, o.MaxIdleConns = 16, 16 })
	require.NoError(t, c.Exec(t.Context(), "CREATE TABLE load (n UInt64) ENGINE = MergeTree ORDER BY n"))
	const clients, rounds, rows = 8, 30, 200
	var sent, left atomic.Int64
	work := []func(id int) error{
		func(id int) error {
			var n uint64
			err := c.QueryRow(t.Context(), "SELECT sum(number) FROM numbers({n:UInt64})", clickhouse.Named("n", 1000+id)).Scan(&n)
			if want := uint64(1000+id) * uint64(999+id) / 2; err == nil && n != want {
				return fmt.Errorf("the sum is %d instead of %d", n, want)
			}
			return err
		},
		func(int) error {
			b, err := c.PrepareBatch(t.Context(), "INSERT INTO load")
			if err != nil {
				return err
			}
			for n := range uint64(rows) {
				if err := b.Append(n); err != nil {
					return err
				}
			}
			sent.Add(rows)
			return b.Send()
		},
		func(int) error {
			var e *clickhouse.Exception
			if err := c.Exec(t.Context(), "SELECT nothing FROM load"); !errors.As(err, &e) || e.Code != 47 {
				return fmt.Errorf("an unknown column gave %w", err)
			}
			return nil
		},
		func(int) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(30))*time.Millisecond)
			defer cancel()
			var n uint64
			if err := c.QueryRow(ctx, "SELECT count() FROM numbers(1e15) WHERE NOT ignore(sipHash64(number)) AND 'load-left' != ''").Scan(&n); !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("an endless query gave %w", err)
			}
			left.Add(1)
			return nil
		},
	}
	var wg sync.WaitGroup
	for id := range clients {
		wg.Go(func() {
			for round := range rounds {
				if err := work[(id+round)%len(work)](id); err != nil {
					t.Errorf("client %d, round %d: %v", id, round, err)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, clients*rounds/len(work), left.Load())
	var n uint64
	require.NoError(t, c.QueryRow(t.Context(), "SELECT count() FROM load").Scan(&n))
	require.EqualValues(t, sent.Load(), n)
	require.Eventually(t, func() bool {
		err := c.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE '%numbers(1e15)%load-left%' AND query NOT LIKE '%system.processes%'").Scan(&n)
		return err == nil && n == 0
	}, time.Minute, 20*time.Millisecond, "queries of clients that left still run")
}
