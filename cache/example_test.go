package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

type User struct {
	ID   int64
	Name string
}

func loadUser(_ context.Context, id int64) (User, error) {
	fmt.Println("loading", id)
	if id == 0 {
		return User{}, cache.ErrNotFound
	}
	return User{ID: id, Name: "Ann"}, nil
}

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	store := cachetest.NewStore() // in production: rediscache.New(rdb, nil)
	hub, err := cache.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- hub.Run(ctx) }() // coherence; without it L1 stays off

	users := cache.Define[int64, User](hub, "users", &cache.Policy{TTL: time.Minute})
	for range 3 {
		u, err := users.Fetch(ctx, 42, loadUser)
		fmt.Println(u.Name, err)
	}
	fmt.Println("invalidated:", users.Invalidate(ctx, 42))
	u, err := users.Fetch(ctx, 42, loadUser)
	fmt.Println(u.Name, err)

	stop()
	fmt.Println("run:", <-ended)
	// Output:
	// loading 42
	// Ann <nil>
	// Ann <nil>
	// Ann <nil>
	// invalidated: <nil>
	// loading 42
	// Ann <nil>
	// run: <nil>
}

// Entries carry tags computed from their keys; one call removes all that carry one.
func ExampleCache_TagBy() {
	type Page struct {
		Org    int
		Number int
	}
	ctx := context.Background()
	hub, _ := cache.New(cachetest.NewStore(), nil) // nothing to refuse
	pages := cache.Define[Page, string](hub, "pages", &cache.Policy{TTL: time.Hour, Stale: time.Hour}).
		TagBy(func(p Page) []string { return []string{fmt.Sprint("org:", p.Org)} })

	load := func(_ context.Context, p Page) (string, error) {
		fmt.Println("loading", p)
		return fmt.Sprint("page ", p.Number), nil
	}
	for range 2 {
		for _, p := range []Page{{7, 1}, {7, 2}, {8, 1}} {
			if _, err := pages.Fetch(ctx, p, load); err != nil {
				log.Fatal(err)
			}
		}
		fmt.Println(hub.InvalidateTags(ctx, "org:7"))
	}
	// Output:
	// loading {7 1}
	// loading {7 2}
	// loading {8 1}
	// <nil>
	// loading {7 1}
	// loading {7 2}
	// <nil>
}

// Every option of a hub, with what its zero value means in the comments of Options.
func ExampleNew() {
	type tenantKey struct{}
	hub, err := cache.New(cachetest.NewStore(), &cache.Options{
		Tenant: func(ctx context.Context) (string, bool) {
			id, ok := ctx.Value(tenantKey{}).(string)
			return id, ok
		},
		LocalBytes:   16 << 20,
		MaxStaleness: time.Second,
		Lease:        5 * time.Second,
		StoreTimeout: 200 * time.Millisecond,
	})
	if err != nil {
		log.Fatal(err)
	}
	users := cache.Define[int64, User](hub, "users", &cache.Policy{
		TTL:         time.Minute,
		Stale:       10 * time.Minute,
		NotFoundTTL: 10 * time.Second,
		LoadTimeout: 2 * time.Second,
		NoLocal:     true,
	})
	_, err = users.Fetch(context.Background(), 42, loadUser)
	fmt.Println(err)

	acme := context.WithValue(context.Background(), tenantKey{}, "acme")
	_, err = users.Fetch(acme, 0, loadUser)
	fmt.Println(err)
	_, err = users.Fetch(acme, 0, loadUser) // the absence is cached
	fmt.Println(err)
	// Output:
	// cache: no tenant in the context; set one, or use Hub.Shared for data of no tenant
	// loading 0
	// cache: not found
	// cache: not found
}

// What belongs to no tenant is kept once, through the Shared view.
func ExampleHub_Shared() {
	noTenant := func(context.Context) (string, bool) { return "", false }
	hub, _ := cache.New(cachetest.NewStore(), &cache.Options{Tenant: noTenant})
	plans := cache.Define[string, []string](hub.Shared(), "plans", &cache.Policy{TTL: time.Hour})
	list, err := plans.Fetch(context.Background(), "eu", func(context.Context, string) ([]string, error) {
		return []string{"free", "pro"}, nil
	})
	fmt.Println(list, err)
	// Output: [free pro] <nil>
}

// GetOrLoad is the seam for HTTP caches: bytes, when they were stored, and what happened.
func ExampleHub_GetOrLoad() {
	ctx := context.Background()
	hub, _ := cache.New(cachetest.NewStore(), nil)
	render := func(context.Context) ([]byte, error) { return []byte("<h1>Status</h1>"), nil }
	for range 2 {
		page, _, status, err := hub.GetOrLoad(ctx, "GET /status", time.Minute, time.Minute, []string{"status"}, render)
		fmt.Println(string(page), status, err)
	}
	fmt.Println(hub.InvalidateTags(ctx, "status"))
	_, _, status, _ := hub.GetOrLoad(ctx, "GET /status", time.Minute, time.Minute, []string{"status"}, render)
	fmt.Println(status)
	fmt.Println(hub.Invalidate(ctx, cache.Everything()))
	// Output:
	// <h1>Status</h1> miss <nil>
	// <h1>Status</h1> hit <nil>
	// <nil>
	// miss
	// <nil>
}

// What changed is named inside the unit of work and removed after its commit.
func ExampleHub_OnCommit() {
	ctx := context.Background()
	units := cachetest.Hooks{} // in production: tenancy.Hooks{}, and units by tenancy.DB.Do
	hub, err := cache.New(cachetest.NewStore(), &cache.Options{Hooks: units})
	if err != nil {
		log.Fatal(err)
	}
	users := cache.Define[int64, User](hub, "users", &cache.Policy{TTL: time.Minute})
	_, _ = users.Fetch(ctx, 42, loadUser)
	err = units.Do(ctx, func(ctx context.Context) error {
		return hub.OnCommit(ctx, users.Key(42), cache.Tag("org:7"))
	}, nil)
	fmt.Println("committed:", err)
	_, _ = users.Fetch(ctx, 42, loadUser)
	err = units.Do(ctx, func(ctx context.Context) error {
		_ = hub.OnCommit(ctx, users.Key(42)) // nothing can go wrong here
		return errors.New("rolled back")
	}, nil)
	fmt.Println(err)
	_, _ = users.Fetch(ctx, 42, loadUser)
	// Output:
	// loading 42
	// committed: <nil>
	// loading 42
	// rolled back
}

// A right that was taken away must not be used once more, not even between the commit and the
// invalidation.
func ExampleHub_Hold() {
	ctx := context.Background()
	store := cachetest.NewStore()
	units := cachetest.Hooks{}
	hub, err := cache.New(store, &cache.Options{Hooks: units})
	if err != nil {
		log.Fatal(err)
	}
	there, err := cache.New(store.Node(), nil) // another process
	if err != nil {
		log.Fatal(err)
	}
	policy := &cache.Policy{TTL: time.Minute, NoLocal: true}
	rights := cache.Define[int64, string](hub, "rights", policy)
	others := cache.Define[int64, string](there, "rights", policy)
	inDatabase := "admin"
	load := func(context.Context, int64) (string, error) { return inDatabase, nil }

	fmt.Println(others.Fetch(ctx, 42, load))
	err = units.Do(ctx, func(ctx context.Context) error {
		return hub.Hold(ctx, rights.Key(42))
	}, func() {
		inDatabase = "guest" // the commit
		fmt.Println(others.Fetch(ctx, 42, load))
	})
	fmt.Println("committed:", err)
	// Output:
	// admin <nil>
	// guest <nil>
	// committed: <nil>
}
