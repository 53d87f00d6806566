// Package analyticstest tests code that uses package analytics, and stores that serve it.
//
// # Usage
//
// [New] gives a test an Analytics over an in-memory [Store]; [Tracked] returns the events it recorded, as values of
// their Go type. The store answers every query, and can be told to be down, to lose its answers, or to refuse events.
// [NewStore] alone serves a demo that has no ClickHouse.
//
// [Run] is the conformance suite that every analytics.Store must pass.
//
// # Consistency
//
// What Insert returned nil for is visible to the next Query. Nothing does I/O, so a testing/synctest bubble gives it
// virtual time.
//
// # Tenancy
//
// Queries see the records of exactly one tenant. [Store.Records] sees all: it is for assertions.
//
// # Errors
//
// [ErrDown] is the answer of a store that is down.
//
// # Concurrency
//
// A Store is safe for concurrent use.
package analyticstest
