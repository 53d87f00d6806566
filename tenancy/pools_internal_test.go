package tenancy

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// lazyPools are pools that nobody connects, so they need no server.
func lazyPools(t *testing.T) *pools {
	t.Helper()
	p := newPools(&Options{Databases: func(_ context.Context, name string, _ bool) (*pgxpool.Config, error) {
		return pgxpool.ParseConfig("postgres://nobody@127.0.0.1:1/" + name)
	}})
	t.Cleanup(p.close)
	return p
}

func TestIdlePoolsAreClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := lazyPools(t)
		enter := func(name string) *placedPool {
			e, err := p.enter(t.Context(), poolKey{database: name})
			require.NoError(t, err)
			return e
		}
		kept := enter("kept")
		p.leave(enter("old"))
		<-time.After(poolIdleTime - time.Second)
		p.leave(enter("young"))
		require.Len(t, p.open, 3)
		<-time.After(2 * time.Second)
		p.leave(enter("young"))
		require.Len(t, p.open, 2, "old is closed; kept is older, but in use")
		p.leave(kept)
		require.NotSame(t, kept.pool, enter("old").pool)

		for i := range 3 * maxIdlePools {
			p.leave(enter(fmt.Sprint("db", i)))
		}
		require.Len(t, p.open, maxIdlePools, "old, which is in use, included")
		for i := range 3 * maxIdlePools {
			enter(fmt.Sprint("db", i))
		}
		require.Len(t, p.open, 3*maxIdlePools+1, "pools in use are not closed")
	})
}

// TestOpeningIsSharedNotItsCancellation: whoever opens a pool may give up; the others open it then.
func TestOpeningIsSharedNotItsCancellation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		p := newPools(&Options{Databases: func(ctx context.Context, _ string, _ bool) (*pgxpool.Config, error) {
			if calls++; calls == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			<-time.After(time.Second)
			return pgxpool.ParseConfig("postgres://nobody@127.0.0.1:1/x")
		}})
		defer p.close()
		first, cancel := context.WithCancel(t.Context())
		results := make(chan error, 4)
		enter := func(ctx context.Context) {
			_, err := p.enter(ctx, poolKey{database: "x"})
			results <- err
		}
		go enter(first)
		synctest.Wait()
		for range 3 {
			go enter(t.Context())
		}
		synctest.Wait()
		cancel()
		cancelled := 0
		for range 4 {
			if err := <-results; errors.Is(err, context.Canceled) {
				cancelled++
			} else {
				require.NoError(t, err)
			}
		}
		require.Equal(t, 1, cancelled)
		require.Equal(t, 2, calls)
	})
}

func FuzzSearchPath(f *testing.F) {
	f.Add("acme", "public")
	f.Add(`a"b`, `", pg_catalog, "`)
	f.Fuzz(func(t *testing.T, schema, shared string) {
		if (Placement{Schema: schema}).check() != nil || (Placement{Schema: shared}).check() != nil {
			return // never gets that far
		}
		require.Equal(t, []string{schema, shared, "pg_temp"}, splitIdentifiers(searchPath(schema, []string{shared})))
	})
}

// splitIdentifiers reads a list as PostgreSQL does: names in double quotes, a quote in them doubled.
func splitIdentifiers(list string) (names []string) {
	for list != "" {
		name, quoted := "", false
		for list != "" && (quoted || list[0] != ',') {
			switch {
			case list[0] != '"':
				name += list[:1]
			case quoted && len(list) > 1 && list[1] == '"':
				name += `"`
				list = list[1:]
			default:
				quoted = !quoted
			}
			list = list[1:]
		}
		names = append(names, name)
		if len(list) > 1 {
			list = list[2:] // comma and space
		}
	}
	return names
}
