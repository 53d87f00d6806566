package testenv

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// sharedClickHouse is the server of this test binary.
var sharedClickHouse = sync.OnceValues(func() (*devstack.ClickHouseServer, error) {
	// The first use on a machine fetches and builds the engine.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	u := os.Getenv("TEST_CLICKHOUSE_URL")
	if u == "" {
		u = "none"
	}
	return devstack.ClickHouse(ctx, &devstack.ClickHouseOptions{URL: u, Progress: os.Stderr})
})

// CH is an empty database of a real ClickHouse that the tests of this binary
// share.
type CH struct {
	URL      string // of the HTTP interface: http://127.0.0.1:8123
	Addr     string // host:port of URL
	Database string // this test's own, dropped after it

	t testing.TB
}

// ClickHouse returns a new database for this test.
func ClickHouse(t testing.TB) *CH {
	t.Helper()
	s, err := sharedClickHouse()
	if err != nil {
		fatal(t, "ClickHouse", err)
	}
	var id [8]byte
	rand.Read(id[:]) // never fails
	c := &CH{URL: s.URL, Addr: s.Addr, Database: "test_" + hex.EncodeToString(id[:]), t: t}
	admin := c.open("default")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := admin.Exec(ctx, "CREATE DATABASE "+c.Database); err != nil {
		t.Fatalf("testenv: ClickHouse: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := admin.Exec(ctx, "DROP DATABASE "+c.Database+" SYNC"); err != nil {
			t.Errorf("testenv: drop ClickHouse database: %v", err)
		}
	})
	return c
}

// Conn returns a connection pool to the test's database over HTTP, closed
// after the test.
func (c *CH) Conn() driver.Conn {
	c.t.Helper()
	return c.open(c.Database)
}

func (c *CH) open(database string) driver.Conn {
	c.t.Helper()
	o := &clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{c.Addr}, Auth: clickhouse.Auth{Database: database}}
	if u, err := url.Parse(c.URL); err == nil && u.User != nil {
		o.Auth.Username = u.User.Username()
		o.Auth.Password, _ = u.User.Password() // none is an empty one
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		c.t.Fatalf("testenv: ClickHouse: %v", err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}
