package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/billing/pgbilling"
	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// patience is how long a server that is said to run may take to answer.
const patience = 10 * time.Second

// connectPostgres opens a pool and makes sure that somebody answers.
func connectPostgres(ctx context.Context, name, dsn string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("%s is not a PostgreSQL URL: want postgres://user:password@host:5432/database", name)
	}
	cfg.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, sentence(name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, sentence(name, err)
	}
	return pool, nil
}

func connectRedis(ctx context.Context, rawURL string) (*redis.Client, error) {
	o, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, errors.New("REDIS_URL is not a Redis URL: want redis://:password@host:6379/0")
	}
	o.ContextTimeoutEnabled = true
	o.DialerRetries = 1
	rdb := redis.NewClient(o)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := rdb.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(sentence("REDIS_URL", err), rdb.Close())
	}
	return rdb, nil
}

func connectClickHouse(ctx context.Context, rawURL string) (driver.Conn, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("CLICKHOUSE_URL is not an HTTP URL: want http://user:password@host:8123/database")
	}
	o, err := clickhouse.ParseDSN(rawURL)
	if err != nil {
		return nil, errors.New("CLICKHOUSE_URL is not a ClickHouse URL: want http://user:password@host:8123/database")
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		return nil, sentence("CLICKHOUSE_URL", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		return nil, errors.Join(sentence("CLICKHOUSE_URL", err), conn.Close())
	}
	return conn, nil
}

// sentence puts a failed connection into one line that names the setting and
// says what to look at, without the URL, which may hold a password.
func sentence(name string, err error) error {
	var pg *pgconn.PgError
	var op *net.OpError
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " ")
	switch {
	case errors.As(err, &pg):
		text = "the server refuses: " + pg.Message
	case errors.As(err, &op):
		text = "the server cannot be reached: " + op.Err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		text = "no answer within " + patience.String()
	}
	return fmt.Errorf("%s: %s", name, text)
}

// migrateUp brings the database up to date, as its owner.
func migrateUp(ctx context.Context, s *servers, out io.Writer) error {
	pool, err := connectPostgres(ctx, "DATABASE_URL", s.ownerURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	own, err := app.Migrations()
	if err != nil {
		return err
	}
	applied, err := migrate.Up(ctx, pool, []migrate.Source{
		{Name: "tenancy", FS: tenancy.Migrations},
		{Name: "registry", FS: registry.Migrations},
		{Name: "billing", FS: pgbilling.Migrations},
		{Name: "pulse", FS: own},
	}, nil)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if len(applied) > 0 {
		fmt.Fprintf(out, "applied %d migrations\n", len(applied))
	}
	if s.seals.tenants == nil {
		return nil
	}
	return tenancy.InstallSeal(ctx, pool, s.seals.tenants, nil)
}
