package redisjobs_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

func ExampleNew() {
	server, err := miniredis.Run() // your Redis 7 or Valkey
	if err != nil {
		panic(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer rdb.Close()

	driver, err := redisjobs.New(rdb, &redisjobs.Options{Queue: "mail"})
	if err != nil {
		panic(err)
	}
	q, err := jobs.New(driver, nil)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	jobs.Handle(q, func(ctx context.Context, c Count) error {
		fmt.Println("count", c.N)
		cancel()
		return nil
	})
	if _, err := q.Enqueue(ctx, Count{N: 42}, nil); err != nil {
		panic(err)
	}
	fmt.Println(q.Run(ctx))
	// Output:
	// count 42
	// <nil>
}
