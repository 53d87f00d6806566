package redishttp_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/httpx/ratelimit"
	"github.com/ashlar-go/ashlar/httpx/redishttp"
)

// Two processes, each with a client and a limiter of its own, share a limit.
func ExampleNewLimits() {
	server, err := miniredis.Run() // in production, your Redis
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	allowed := 0
	for range 2 {
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
		defer rdb.Close()
		store, err := redishttp.NewLimits(rdb, &redishttp.LimitsOptions{Prefix: "acme"})
		if err != nil {
			log.Fatal(err)
		}
		login, err := ratelimit.New(store, "login", []ratelimit.Limit{{Rate: 5, Per: time.Hour}}, &ratelimit.Options{Timeout: time.Minute})
		if err != nil {
			log.Fatal(err)
		}
		for range 4 {
			d, err := login.Allow(context.Background(), "ann@example.com")
			if err != nil {
				log.Fatal(err)
			}
			if d.Allowed {
				allowed++
			}
		}
	}
	fmt.Println(allowed)
	// Output: 5
}
