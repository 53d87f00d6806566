package cache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// rates is a service that answers like HTTP: with a tag, and with less if the tag is known.
func rates(known string) (rate float64, etag string, maxAge time.Duration, notModified bool) {
	if known == `"7"` {
		fmt.Println("asked with", known)
		return 0, known, time.Hour, true
	}
	fmt.Println("asked for everything")
	return 1.08, `"7"`, 20 * time.Millisecond, false
}

func ExampleCache_FetchWith() {
	hub, err := cache.New(cachetest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	prices := cache.Define[string, float64](hub, "rates", &cache.Policy{TTL: time.Minute, StaleIfError: time.Hour})
	load := func(_ context.Context, _ string, prev cache.Loaded[float64]) (cache.Loaded[float64], error) {
		rate, etag, maxAge, notModified := rates(prev.Validator)
		if notModified {
			return cache.Loaded[float64]{TTL: maxAge}, cache.ErrNotModified
		}
		return cache.Loaded[float64]{Value: rate, Validator: etag, TTL: maxAge}, nil
	}
	ctx := context.Background()
	for range 3 {
		rate, err := prices.FetchWith(ctx, "EUR", load)
		fmt.Println(rate, err)
		<-time.After(30 * time.Millisecond)
	}
	// Output:
	// asked for everything
	// 1.08 <nil>
	// asked with "7"
	// 1.08 <nil>
	// 1.08 <nil>
}
