package cache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// A page of a list is two round trips to the store and one query, however many keys it has.
func ExampleCache_FetchMany() {
	ctx := context.Background()
	hub, _ := cache.New(cachetest.NewStore(), nil) // nothing to refuse
	users := cache.Define[int64, User](hub, "users", &cache.Policy{TTL: time.Minute})
	byID := func(_ context.Context, missing []int64) (map[int64]User, error) {
		fmt.Println("select … where id = any", missing)
		found := make(map[int64]User)
		for _, id := range missing {
			if id < 100 {
				found[id] = User{ID: id, Name: "Ann"}
			}
		}
		return found, nil
	}
	for range 2 {
		found, err := users.FetchMany(ctx, []int64{1, 2, 999}, byID)
		fmt.Println(len(found), err)
	}
	// Output:
	// select … where id = any [1 2 999]
	// 2 <nil>
	// 2 <nil>
}

// With versions a writer may leave the new value behind: the higher version stays.
func ExampleCache_Put() {
	type Doc struct {
		Text    string
		Version int64
	}
	ctx := context.Background()
	hub, _ := cache.New(cachetest.NewStore(), nil)
	docs := cache.Define[string, Doc](hub, "docs", &cache.Policy{TTL: time.Minute}).
		VersionBy(func(d Doc) int64 { return d.Version })
	if _, err := docs.Fetch(ctx, "a", func(context.Context, string) (Doc, error) { return Doc{"old", 1}, nil }); err != nil {
		log.Fatal(err)
	}
	fmt.Println(docs.Put(ctx, "a", Doc{"newest", 3}), docs.Put(ctx, "a", Doc{"late", 2}))
	fmt.Println(docs.Peek(ctx, "a"))
	// Output:
	// <nil> <nil>
	// {newest 3} true <nil>
}

// Refresh loads anew while others are still served what is cached.
func ExampleCache_Refresh() {
	ctx := context.Background()
	hub, _ := cache.New(cachetest.NewStore(), nil)
	rates := cache.Define[string, int](hub, "rates", &cache.Policy{TTL: time.Hour})
	n := 0
	load := func(context.Context, string) (int, error) { n++; return n, nil }
	fmt.Println(rates.Fetch(ctx, "eur", load))
	fmt.Println(rates.Refresh(ctx, "eur", load))
	fmt.Println(rates.Fetch(ctx, "eur", load))
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 2 <nil>
}
