package cachetest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// Two processes share a store; one of them loses it.
func ExampleStore_Node() {
	ctx := context.Background()
	here := cachetest.NewStore() // in a test: cachetest.New(t)
	there := here.Node()
	a, _ := cache.New(here, nil) // nothing to refuse
	b, _ := cache.New(there, nil)
	policy := &cache.Policy{TTL: time.Minute}
	ca, cb := cache.Define[string, int](a, "n", policy), cache.Define[string, int](b, "n", policy)

	n := 0
	load := func(context.Context, string) (int, error) { n++; return n, nil }
	fmt.Println(ca.Fetch(ctx, "k", load))
	fmt.Println(cb.Fetch(ctx, "k", load))
	there.Down(true)
	fmt.Println(cb.Fetch(ctx, "k", load))
	fmt.Println(ca.Fetch(ctx, "k", load))
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 2 <nil>
	// 1 <nil>
}
