package testenv_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
)

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	c := testenv.RedisCluster(t, 3)
	rdb, ctx := c.Client(), t.Context()
	require.NoError(t, rdb.Set(ctx, "k", "v", 0).Err())
	before := c.MasterOf("k")
	before.Kill()
	require.Eventually(t, func() bool { return rdb.Set(ctx, "k", "v2", 0).Err() == nil }, time.Minute, 50*time.Millisecond, "a replica takes over")
	require.NotEqual(t, before.Addr, c.MasterOf("k").Addr)
}

func TestRedisFailover(t *testing.T) {
	t.Parallel()
	f := testenv.RedisFailover(t)
	rdb, ctx := f.Client(), t.Context()
	require.NoError(t, rdb.Set(ctx, "k", "v", 0).Err())
	f.Master.Kill()
	require.Eventually(t, func() bool { return rdb.Set(ctx, "k", "v2", 0).Err() == nil }, time.Minute, 50*time.Millisecond, "the replica takes over")
	require.Equal(t, "v2", f.Replica.Client().Get(ctx, "k").Val())
}
