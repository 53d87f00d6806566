package outbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// TestPromotedReplica continues without a word on a promoted replica that has what the sink has, and stops on one that
// lacks it.
func TestPromotedReplica(t *testing.T) {
	t.Parallel()
	for name, lossy := range map[string]bool{"complete": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := testenv.PostgresReplicated(t, 0, tenancy.Migrations, schema)
			c := &cluster{T: t, system: r.PG.System, db: on(t, r.PG.App, r.PG.System)}
			standby := c.pool(r.Standby.AdminURL)
			want := map[string]int{}
			c.changes(20, want)
			var sink tenancytest.Sink
			c.delivered(&sink, 20)
			if lossy { // what comes now never arrives there
				caughtUp(t, c, r)
				_, err := standby.Exec(t.Context(), `alter system set primary_conninfo = ''`)
				require.NoError(t, err)
				_, err = standby.Exec(t.Context(), `select pg_reload_conf()`)
				require.NoError(t, err)
				require.Eventually(t, func() bool {
					var n int
					err := standby.QueryRow(t.Context(), `select count(*) from pg_stat_wal_receiver where status = 'streaming'`).Scan(&n)
					return err == nil && n == 0
				}, time.Minute, 10*time.Millisecond)
				c.changes(10, map[string]int{})
				c.delivered(&sink, 30)
			} else {
				c.changes(10, want)
				c.delivered(&sink, 30)
				c.changes(5, want) // not delivered
				caughtUp(t, c, r)
			}
			_, err := standby.Exec(t.Context(), `select pg_promote()`)
			require.NoError(t, err)

			next := &cluster{T: t, system: r.Replica.System, db: on(t, r.Replica.App, r.Replica.System)}
			next.changes(12, want)
			if lossy {
				next.changedLog(&sink)
				n, err := rebase(t, next, &sink)
				require.NoError(t, err)
				require.Equal(t, 12, n)
				next.changes(4, want)
				next.delivered(&sink, 30+12+4)
			} else {
				next.delivered(&sink, sum(want))
				require.Empty(t, faults(sink.Events(), want))
			}
			require.Empty(t, next.missing(&sink))
			for _, p := range c.pools {
				p.Close()
			}
		})
	}
}

// caughtUp waits until the replica has applied all that the primary wrote.
func caughtUp(t *testing.T, c *cluster, r *testenv.Replicated) {
	t.Helper()
	var at string
	require.NoError(t, c.system.QueryRow(t.Context(), `select pg_current_wal_lsn()::text`).Scan(&at))
	require.Eventually(t, func() bool {
		var reached bool
		err := r.Replica.System.QueryRow(t.Context(), `select pg_last_wal_replay_lsn() >= $1::text::pg_lsn`, at).Scan(&reached)
		return err == nil && reached
	}, time.Minute, 10*time.Millisecond)
}
