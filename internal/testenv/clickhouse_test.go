package testenv_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
)

func TestClickHouse(t *testing.T) {
	t.Parallel()
	a, b := testenv.ClickHouse(t), testenv.ClickHouse(t)
	require.NotEqual(t, a.Database, b.Database)
	conn := a.Conn()
	ctx := t.Context()
	require.NoError(t, conn.Ping(ctx))
	require.NoError(t, conn.Exec(ctx, "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n"))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
	require.NoError(t, err)
	for n := range uint64(1000) {
		require.NoError(t, batch.Append(n))
	}
	require.NoError(t, batch.Send())
	var sum uint64
	require.NoError(t, conn.QueryRow(ctx, "SELECT sum(n) FROM t").Scan(&sum))
	require.EqualValues(t, 499500, sum)
	var found uint64
	require.NoError(t, b.Conn().QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = currentDatabase()").Scan(&found))
	require.Zero(t, found, "the second database has the first one's table")
}
