package rediscache_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// A master that was made a replica still has counters, locks and values, and still answers who
// reads them; somebody else has the true ones by now. Nobody is to be told the old, and least
// of all is a lock to be granted.
func TestToolsOfADemotedMaster(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	hub := func() *cache.Hub {
		h, err := cache.New(open(t, client(t, srv.Addr)), &cache.Options{Logger: quiet, StoreTimeout: 20 * time.Second})
		require.NoError(t, err)
		return h
	}
	p, q := hub(), hub()
	ctx := t.Context()
	require.NoError(t, p.Set(ctx, "v", []byte("old"), time.Hour))
	_, _, err := p.Count(ctx, "n", 3, time.Hour)
	require.NoError(t, err)
	granted := func(context.Context, int64) error {
		t.Error("a replica granted a lock")
		return nil
	}

	const ttl = 20 * time.Second
	rdb := srv.Client()
	held, ended, locks := make(chan struct{}), make(chan error, 1), make(chan int64, 1)
	go func() {
		ended <- q.Locked(ctx, "l", ttl, func(ctx context.Context, _ int64) error {
			close(held)
			<-ctx.Done()
			locks <- rdb.Exists(t.Context(), t.Name()+":l:{:l}").Val()
			return context.Cause(ctx)
		})
	}()
	<-held
	require.ErrorIs(t, p.Locked(ctx, "l", ttl, granted), cache.ErrLocked)
	before := p.Stats().StoreErrors

	require.NoError(t, rdb.SlaveOf(ctx, "127.0.0.1", "1").Err()) // of nobody
	for name, ask := range map[string]func() error{
		"a value":         func() error { _, _, err := p.Get(ctx, "v"); return err },
		"no value":        func() error { _, _, err := p.Get(ctx, "none"); return err },
		"setting":         func() error { return p.Set(ctx, "v", nil, time.Hour) },
		"a count":         func() error { _, _, err := p.Count(ctx, "n", 0, time.Hour); return err },
		"counting":        func() error { _, _, err := p.Count(ctx, "n", 1, time.Hour); return err },
		"a free lock":     func() error { return p.Locked(ctx, "free", time.Minute, granted) },
		"another's lock":  func() error { return p.Locked(ctx, "l", time.Minute, granted) },
		"the first count": func() error { _, _, err := p.Count(ctx, "new", 0, time.Hour); return err },
	} {
		err := ask()
		require.Error(t, err, name)
		require.True(t, redis.IsReadOnlyError(err), "%s: %v", name, err)
		require.NotErrorIs(t, err, cache.ErrLocked, name)
	}
	require.Greater(t, p.Stats().StoreErrors, before+8, "the failures are counted")

	require.ErrorIs(t, <-ended, cache.ErrLockLost)
	require.EqualValues(t, 1, <-locks, "whoever has the lock stops before another may have it")
	for key, want := range map[string]string{":v:{:v}": "old", ":n:{:n}": "3"} {
		require.Equal(t, want, rdb.Get(ctx, t.Name()+key).Val(), "it would have answered, or this proves nothing")
	}
}
