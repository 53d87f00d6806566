package cache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// An article is shown with its authors, whom nobody knows before it is loaded. When an author
// changes, exactly the articles that show him are dropped.
func ExampleLoaded_tags() {
	hub, err := cache.New(cachetest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	articles := cache.Define[int, string](hub, "articles", &cache.Policy{TTL: time.Hour})
	authors := map[int][]string{1: {"ann", "bob"}, 2: {"bob"}, 3: {"eve"}}
	load := func(_ context.Context, id int, _ cache.Loaded[string]) (cache.Loaded[string], error) {
		fmt.Println("load", id)
		l := cache.Loaded[string]{Value: fmt.Sprint("by ", authors[id])}
		for _, a := range authors[id] {
			l.Tags = append(l.Tags, "author:"+a)
		}
		return l, nil
	}
	ctx := context.Background()
	show := func() {
		for id := range 3 {
			if _, err := articles.FetchWith(ctx, id+1, load); err != nil {
				fmt.Println(err)
			}
		}
	}
	show()
	fmt.Println("ann changed:", hub.InvalidateTags(ctx, "author:ann"))
	show()
	fmt.Println("bob changed:", hub.InvalidateTags(ctx, "author:bob"))
	show()
	// Output:
	// load 1
	// load 2
	// load 3
	// ann changed: <nil>
	// load 1
	// bob changed: <nil>
	// load 1
	// load 2
}
