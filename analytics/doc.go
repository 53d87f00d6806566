// Package analytics records product events and answers questions about them.
//
// An event is a Go struct, declared once with [Define] and recorded with [Event.Track]. Events go through a
// write-ahead log on the local disk to a [Store] (clickhouseanalytics for ClickHouse, analyticstest for tests), so that
// neither a crash nor an outage of the store loses one. [Analytics.Series] and [Analytics.Value] aggregate them.
//
// # Usage
//
// Define each event in a package-level variable, call [New] with a store and a directory, run [Analytics.Run] beside
// the server, and call [Event.Track] where things happen. See the package example for a whole program.
//
// # Delivery
//
// With Options.Dir set, Track returns nil once the event is on stable storage (fsync, shared by concurrent callers):
// it survives kill -9 and power loss. [Analytics.Run] sends events in batches. The boundaries of a batch are written
// to the log before it is sent for the first time, and each batch has a token derived from its place in the log; a
// batch whose outcome is unknown (time-out, crash) is sent again, byte for byte and with the same token, until the store
// answers. A store that remembers tokens therefore keeps each event once. ClickHouse remembers the last 10 000 of a
// table; a repeat that comes later than that is collapsed by event id when parts are merged.
//
// An error from Track means that the event may or may not be recorded (the disk may have failed after the write).
// A batch that the store refuses for its content ([ErrRejected]) is split until the offending events are alone;
// those go to Dir/dead as JSON lines, and into [Stats], and the rest is delivered. Nothing deletes them; a crash in
// between may write one twice.
//
// Without Dir events wait in memory: nothing survives the process, and Run says how many were lost.
//
// The log is bounded by Options.MaxBacklog; Options.WhenFull says what Track does when it is full.
//
// # Tenancy
//
// With Options.Tenant set, Track and every query act for the tenant of their context, and fail with [ErrNoTenant]
// before any I/O when there is none. No query crosses tenants. With a nil Options.Tenant there is one tenant, named "".
//
// # Errors
//
// Branch on [ErrNoTenant], [ErrInvalid], [ErrFull] and [ErrClosed] with errors.Is. Errors of the store are wrapped and
// reachable with errors.As. [Define] panics on misuse, because it runs while the program starts.
//
// # Concurrency
//
// All types are safe for concurrent use. [New] starts no goroutine. One process at a time may own a Dir; on Unix a second
// one gets an error from New.
package analytics
