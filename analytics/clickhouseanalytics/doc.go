// Package clickhouseanalytics keeps events in ClickHouse (https://clickhouse.com), 25.3 or later: the first release
// whose JSON type is for production.
//
// # Usage
//
// Open a connection with clickhouse.Open, give it to [New], and call [Store.Migrate] when the program starts. The caller
// keeps owning the connection and closes it. The tests of this package connect over HTTP; nothing here depends on it.
//
// # Consistency
//
// A batch is one synchronous insert of one block, with the batch's token as insert_deduplication_token: ClickHouse drops
// repeats among the last 10 000 inserts. Past that window a repeat is stored, counted until its parts merge, and then
// collapsed by event id. async_insert, on by default since ClickHouse 26.3, is switched off for these inserts.
// A server that is killed at the wrong moment remembers the token of an insert that it lost; each insert is therefore
// looked up, on the same connection pool, and sent again under another token if it is not there. On a replicated table,
// let the pool reach one replica, or set select_sequential_consistency.
//
// Over 4096 distinct values, uniques are estimated (uniqCombined64, within about 1 %); over 8192 values, quantiles are
// those of a random sample.
//
// # Tenancy
//
// Every query has the tenant as a parameter in its condition. The same condition is repeated as the setting
// additional_table_filters under readonly=1, which applies to each use of the table in the query and which the query
// cannot change. It is a second wall around the statements of this package, not a sandbox for SQL of others: table
// functions such as merge() go around it. Values are sent as parameters; only numbers, field names, which analytics
// restricts to [a-z0-9_], and the names of [Options] are part of the text.
//
// # Errors
//
// Errors wrap those of clickhouse-go: errors.As with *clickhouse.Exception gives the code. Insert errors caused by the
// data wrap analytics.ErrRejected. The text of an error holds no values of events or filters; the errors it wraps may.
//
// # Concurrency
//
// A Store is safe for concurrent use, as far as its connection is; that of clickhouse.Open is a pool.
package clickhouseanalytics
