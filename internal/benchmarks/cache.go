package main

import (
	"context"
	"time"

	rediscache "github.com/go-redis/cache/v9"
	"github.com/maypok86/otter/v2"

	"github.com/ashlar-go/ashlar/cache"
	ours "github.com/ashlar-go/ashlar/cache/rediscache"
)

// user is a typical small cached struct.
type user struct {
	ID    int64
	Name  string
	Email string
	Roles []string
}

// benchCache compares hits: in process memory with bare otter, bare ristretto, with
// go-redis/cache's local cache and rueidis's client-side cache; in Redis with go-redis/cache,
// rueidis and a raw GET.
func benchCache(ctx context.Context, l *lab) error {
	rdb, err := l.flushed(ctx)
	if err != nil {
		return err
	}
	defer rdb.Close()
	store, err := ours.New(rdb, nil)
	if err != nil {
		return err
	}
	hub, err := cache.New(store, nil)
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- hub.Run(run) }()
	defer func() {
		stop()
		<-stopped
	}()
	ann := user{ID: 1, Name: "Ann", Email: "ann@example.com", Roles: []string{"admin", "editor"}}
	load := func(context.Context, int64) (user, error) { return ann, nil }
	local := cache.Define[int64, user](hub, "local", &cache.Policy{TTL: time.Hour})
	oursLocal := func(ctx context.Context, _ int) error {
		_, err := local.Fetch(ctx, 1, load)
		return err
	}

	bare := otter.Must(&otter.Options[int64, user]{MaximumSize: 10_000})
	bare.Set(1, ann)
	if err := l.ratio(ctx, "cache.l1_latency_vs_otter", timed(1_000_000, oursLocal), timed(1_000_000, func(context.Context, int) error {
		bare.GetIfPresent(1)
		return nil
	})); err != nil {
		return err
	}

	if err := benchRistretto(ctx, l, oursLocal, ann); err != nil {
		return err
	}
	if err := l.reading(ctx, "cache.l1_allocs", "allocs", allocs(1_000_000, oursLocal)); err != nil {
		return err
	}

	peer := rediscache.New(&rediscache.Options{Redis: rdb, LocalCache: rediscache.NewTinyLFU(10_000, time.Hour)})
	if err := peer.Set(&rediscache.Item{Ctx: ctx, Key: "peer", Value: ann, TTL: time.Hour}); err != nil {
		return err
	}
	if err := l.ratio(ctx, "cache.l1_latency_vs_goredis_cache_local", timed(1_000_000, oursLocal), timed(100_000, func(ctx context.Context, _ int) error {
		var u user
		return peer.Get(ctx, "peer", &u)
	})); err != nil {
		return err
	}

	if err := benchRueidis(ctx, l, hub, oursLocal, ann); err != nil {
		return err
	}
	return benchCacheL2(ctx, l, hub, rdb, ann)
}
