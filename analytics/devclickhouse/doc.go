// Package devclickhouse runs a real ClickHouse engine for tests, examples and
// development: libchdb, a pinned build of ClickHouse 26.7 as a library, behind
// ClickHouse's HTTP interface. Nothing has to be installed by hand, neither
// root nor containers are needed, and a server answers within half a second.
//
// # Usage
//
//	go run github.com/ashlar-go/ashlar/analytics/devclickhouse/cmd/devclickhouse -addr 127.0.0.1:8123
//
// or, in a program of its own (the engine takes some 200 MB, threads and a
// library of 566 MB, which a test binary should not carry):
//
//	s, err := devclickhouse.New(ctx, nil)
//	fmt.Println(s.URL())
//	err = s.Run(ctx)
//
// The first use fetches the library with the npm client (178 MB), compares it
// with a digest in this package and keeps it in the user's cache directory;
// see [Install].
//
// Unmodified clickhouse-go works over clickhouse.HTTP: queries, parameters,
// settings, sessions, batches, InsertFormat and QueryFormat, compression (lz4,
// zstd, gzip, deflate), errors in the middle of a result, external tables, and
// a client that goes away ends its query.
//
// # Consistency
//
// An INSERT is answered when its data is written as a MergeTree part; a kill
// of the process loses no answered INSERT, a power failure may. An INSERT
// whose body breaks off leaves nothing of the block that was not complete.
//
// Deduplication tokens work as in ClickHouse: where the table sets a window.
// ClickHouse's MergeTree logs a token just before it puts the part in place,
// so a kill between the two makes it drop the repetition of an INSERT that it
// does not have. Who repeats an INSERT after a lost answer has to look whether
// the rows are there, and if not to send them with a new token.
//
// # Tenancy
//
// None: every client is let in as the user default, with any name and
// password. The server therefore listens on loopback only and refuses
// requests that a web page of another origin sent.
//
// # Errors
//
// Clients get ClickHouse's own codes and texts. This package's errors are
// [ErrUnsupported], [ErrNotInstalled] and [ErrInUse].
//
// What the engine lacks beside a server: replicated and distributed tables, ON
// CLUSTER, users and row policies, system.query_log, custom settings. Dropping the
// database default stops the engine from opening sessions. Settings given in
// the URL of a request with session_id stay with the session. Asynchronous
// inserts are done synchronously.
//
// # Concurrency
//
// One process, one engine, one directory. Each request gets its own session,
// and requests run side by side.
package devclickhouse
