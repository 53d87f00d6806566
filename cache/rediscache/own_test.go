package rediscache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// seqless is a store that says of a value with own tags whose stamp is lost that it is valid,
// as one does that makes such a stamp low: the planted fault of TestStampsOfLoadsVanish.
type seqless struct {
	cache.Store
	rdb    redis.UniversalClient
	prefix string
}

func (s seqless) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	for _, c := range claims {
		for _, t := range c.Tags {
			if c.Mode == cache.ClaimCompare {
				if err := s.rdb.SetNX(ctx, s.prefix+":{stamps}:"+t, "0000000000000001", time.Hour).Err(); err != nil {
					return nil, err
				}
			}
		}
	}
	return s.Store.Acquire(ctx, claims)
}

var errVanished = errors.New("an old value is served")

// vanishing loads values that name tags while the store loses what it knows of tags, before and
// after an invalidation, and returns errVanished for an old value.
func vanishing(t *testing.T, h *cache.Hub, rdb redis.UniversalClient, prefix string) error {
	ctx := context.Background()
	c := cache.Define[string, int64](h, "own", &cache.Policy{TTL: time.Hour})
	clock := prefix + ":{stamps}"
	stamp := clock + ":g::"
	for i, vanish := range []func(tag string) error{
		func(string) error { return rdb.Del(ctx, clock).Err() },
		func(tag string) error { return rdb.Del(ctx, stamp+tag).Err() },
		func(string) error { // all stamps, and the clock
			keys, err := rdb.Keys(ctx, clock+"*").Result()
			if err != nil || len(keys) == 0 {
				return err
			}
			return rdb.Del(ctx, keys...).Err()
		},
		func(tag string) error { return rdb.Set(ctx, stamp+tag, "rubbish", 0).Err() },
		func(tag string) error { return rdb.Set(ctx, clock, "rubbish", 0).Err() },
		func(tag string) error {
			return errors.Join(rdb.Del(ctx, stamp+tag).Err(), rdb.Set(ctx, clock, "", 0).Err())
		},
	} {
		for when := range 8 { // bits: before the invalidation, after it, after the fill
			tag := fmt.Sprint("tag", i, when)
			var version, loads int64
			load := func(then func() error) func(context.Context, string, cache.Loaded[int64]) (cache.Loaded[int64], error) {
				return func(context.Context, string, cache.Loaded[int64]) (cache.Loaded[int64], error) {
					loads++
					l := cache.Loaded[int64]{Value: version, Tags: []string{tag}}
					return l, then()
				}
			}
			lose := func(bit int) {
				if when&bit != 0 {
					require.NoError(t, vanish(tag))
				}
			}
			get := func(then func() error) int64 {
				v, err := c.FetchWith(ctx, tag, load(then))
				require.NoError(t, err)
				return v
			}
			nothing := func() error { return nil }
			get(func() error { // the invalidation races the load
				lose(1)
				version++
				err := h.InvalidateTags(ctx, tag)
				lose(2)
				return err
			})
			lose(4)
			if get(nothing) != version {
				return fmt.Errorf("%w: case %d, %d, during the load", errVanished, i, when)
			}
			lose(1)
			version++ // and one that follows it
			require.NoError(t, h.InvalidateTags(ctx, tag))
			lose(2)
			if get(nothing) != version {
				return fmt.Errorf("%w: case %d, %d, after the load", errVanished, i, when)
			}
			get(nothing)
			before := loads
			get(nothing)
			require.Equal(t, before, loads, "case %d, %d: not cached again", i, when)
		}
	}
	return nil
}

// Whoever evicts stamps or the clock costs loads, never correctness.
func TestStampsOfLoadsVanish(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	store := open(t, rdb)
	for _, planted := range []bool{false, true} {
		if planted {
			store = seqless{store, rdb, t.Name()}
		}
		h, err := cache.New(store, &cache.Options{StoreTimeout: 20 * time.Second, Logger: quiet})
		require.NoError(t, err)
		require.NoError(t, rdb.FlushDB(t.Context()).Err())
		err = vanishing(t, h, rdb, t.Name())
		require.Equal(t, planted, errors.Is(err, errVanished), "%v", err)
	}
}
