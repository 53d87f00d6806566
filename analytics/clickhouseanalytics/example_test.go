package clickhouseanalytics_test

import (
	"context"
	"fmt"
	"os"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/clickhouseanalytics"
)

type Upgrade struct{ Plan string }

var upgraded = analytics.Define[Upgrade]("Upgraded")

// No server listens here, and yet the event is safe: it waits in the log.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:     []string{"127.0.0.1:1"},
		Protocol: clickhouse.HTTP, // or clickhouse.Native
	})
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	store, err := clickhouseanalytics.New(conn, &clickhouseanalytics.Options{Database: "product", Table: "events"})
	if err != nil {
		panic(err)
	}
	// A program whose ClickHouse is up calls store.Migrate(ctx) here.
	a, err := analytics.New(store, &analytics.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	defer a.Close()
	err = upgraded.Track(context.Background(), a, Upgrade{Plan: "pro"})
	fmt.Println(err, a.Stats().Backlog)
	// Output: <nil> 1
}
