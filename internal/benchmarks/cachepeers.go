package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/redis/rueidis"

	"github.com/ashlar-go/ashlar/cache"
)

// benchRistretto compares with a map in memory that keeps hashes of keys and coheres with nobody.
func benchRistretto(ctx context.Context, l *lab, oursLocal call, ann user) error {
	bare, err := ristretto.NewCache(&ristretto.Config[int64, user]{NumCounters: 100_000, MaxCost: 10_000, BufferItems: 64})
	if err != nil {
		return err
	}
	defer bare.Close()
	bare.Set(1, ann, 1)
	bare.Wait()
	if _, ok := bare.Get(1); !ok {
		return fmt.Errorf("ristretto dropped the value")
	}
	return l.ratio(ctx, "cache.l1_latency_vs_ristretto", timed(1_000_000, oursLocal), timed(1_000_000, func(context.Context, int) error {
		bare.Get(1)
		return nil
	}))
}

// benchRueidis compares with the client that rueidisaside builds on: a hit of that is a DoCache,
// or a GET where the cache of the client does not know the key, and then the decoding.
func benchRueidis(ctx context.Context, l *lab, hub *cache.Hub, oursLocal call, ann user) error {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{l.redis.Addr}})
	if err != nil {
		return err
	}
	defer client.Close()
	text, err := json.Marshal(ann)
	if err != nil {
		return err
	}
	if err := client.Do(ctx, client.B().Set().Key("rueidis").Value(rueidis.BinaryString(text)).Ex(time.Hour).Build()).Error(); err != nil {
		return err
	}
	if err := l.ratio(ctx, "cache.l1_latency_vs_rueidis_cached", timed(1_000_000, oursLocal), timed(100_000, func(ctx context.Context, _ int) error {
		var u user
		return client.DoCache(ctx, client.B().Get().Key("rueidis").Cache(), time.Hour).DecodeJSON(&u)
	})); err != nil {
		return err
	}
	shared := cache.Define[int64, user](hub, "rueidis", &cache.Policy{TTL: time.Hour, NoLocal: true})
	load := func(context.Context, int64) (user, error) { return ann, nil }
	return l.paired(ctx, "cache.l2_latency_vs_rueidis_get", func(ctx context.Context, _ int) error {
		_, err := shared.Fetch(ctx, 1, load)
		return err
	}, func(ctx context.Context, _ int) error {
		var u user
		return client.Do(ctx, client.B().Get().Key("rueidis").Build()).DecodeJSON(&u)
	})
}
