package devclickhouse_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/ashlar-go/ashlar/analytics/devclickhouse"
)

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	s, err := devclickhouse.New(ctx, nil) // fetches the engine the first time
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()

	conn, err := clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{s.Addr()}})
	if err != nil {
		log.Fatal(err)
	}
	var level uint8
	err = conn.QueryRow(ctx, "SELECT windowFunnel(60)(t, e = 'visit', e = 'pay') FROM values('t DateTime, e String', (0, 'visit'), (5, 'pay'))").Scan(&level)
	fmt.Println(level, err)

	stop()
	fmt.Println(<-ended)
	// Output:
	// 2 <nil>
	// <nil>
}
