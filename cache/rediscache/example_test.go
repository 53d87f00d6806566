package rediscache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/rediscache"
)

func ExampleNew() {
	server, err := miniredis.Run() // in production, your Redis
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	defer rdb.Close()
	ctx, stop := context.WithCancel(context.Background())

	store, err := rediscache.New(rdb, &rediscache.Options{Prefix: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	hub, err := cache.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- hub.Run(ctx) }() // coherence; without it L1 stays off

	greetings := cache.Define[int64, string](hub, "greetings", &cache.Policy{TTL: time.Minute})
	greet := func(_ context.Context, id int64) (string, error) {
		fmt.Println("loading", id)
		return fmt.Sprint("hello ", id), nil
	}
	for range 2 {
		s, err := greetings.Fetch(ctx, 42, greet)
		fmt.Println(s, err)
	}
	fmt.Println(greetings.Invalidate(ctx, 42))
	s, err := greetings.Fetch(ctx, 42, greet)
	fmt.Println(s, err)

	stop()
	fmt.Println(<-ended)
	// Output:
	// loading 42
	// hello 42 <nil>
	// hello 42 <nil>
	// <nil>
	// loading 42
	// hello 42 <nil>
	// <nil>
}
