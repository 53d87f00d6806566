// Package cache is a read-through cache in two levels: process memory over a store that all
// processes share. It never serves what was invalidated, also not when the invalidation
// arrives while the old value is being loaded, in this process or another.
//
// # Usage
//
// Make a [Hub] over a store (rediscache.New, or cachetest.New in tests), let it [Hub.Run],
// and [Define] a [Cache] for each kind of value. [Cache.Fetch] returns the value of a key,
// loading it if need be; after a change of the data call [Cache.Invalidate], or give entries
// tags with [Cache.TagBy] and call [Hub.Invalidate]. [Cache.FetchMany] is Fetch for many keys
// with one load, [Cache.FetchWith] one whose load asks the source whether the cached value is
// still current and gives the new one tags that only it knows, [Cache.Peek] looks without
// loading, [Cache.Refresh] loads at once, and [Cache.Put] leaves a new value behind for values
// with versions ([Cache.VersionBy]). [Hub.GetOrLoad] is Fetch for bytes under free keys, for
// HTTP caches.
//
// [Hub.Count], [Hub.Locked], [Hub.Set] and [Hub.Get] are counters, locks and plain values in the
// same store, [Hub.Stats] is what happened so far, and cacheui a page that shows it.
//
// # Consistency
//
// After Invalidate returned nil:
//
//   - the store neither serves nor accepts a value whose load began before it;
//   - the process that invalidated does not serve one either, from anywhere;
//   - another process may serve the old value from its memory until the message reaches it,
//     which takes milliseconds, and never longer than Options.MaxStaleness after it lost
//     contact with the store. Policy.NoLocal switches its memory off, and this with it.
//
// A load happens under a lease, a random token in the place where the value will be.
// Invalidating removes whatever is there, so the load that began before finds its lease gone
// and its value is not stored. Tags, tenants and "everything" are stamps from a logical clock
// in the store: a value is valid if it was loaded after the latest stamp of each of its tags,
// those that its load named (Loaded.Tags) among them.
// Memory is trusted only while beats, sent through the store four times per MaxStaleness or
// more, come back along the way that invalidations take.
//
// Of all callers in all processes that want a missing value, one loads and the others wait.
// If the process that loads dies, another takes over after Options.Lease.
//
// A value is loaded again a little before it ends, by one caller and in the background, the
// sooner the longer its load takes. Policy.Stale and Policy.StaleIfError say for how long an
// old one may be served meanwhile or when that fails, Policy.SoftTimeout how long callers
// wait if there is one. An invalidated value is never served, old or not.
//
// When the store fails, Fetch loads: slower, never wrong, at most Policy.MaxLoads at a time.
// A process says its invalidations of the last 30 s again after every loss of contact, for a
// store that has failed over may have forgotten them. An Invalidate that did not get
// through returns an error; this process then neither reads nor stores what it named until a
// retry succeeded.
//
// Not covered: a process that was itself stopped (SIGSTOP, a paused machine) for longer than
// MaxStaleness, which may serve from memory what was invalidated meanwhile until its timers run
// again, usually within a millisecond; a store that forgets acknowledged writes (a failover with
// asynchronous replication, a restart from an old snapshot), until the invalidations are said
// again; a load that reads from a replica of its
// database which has not seen the change yet; changes of data that nobody invalidates (only
// the TTL ends those); an Invalidate that was refused by a failing store and whose process
// then died; a Fetch inside a transaction that sees its own uncommitted changes, or a snapshot
// from before somebody else's, and stores them, unless they were named to OnCommit or Hold.
//
// # Units of work
//
// With Options.Hooks, [Hub.OnCommit] invalidates after the commit of the unit of work in the
// context and not at all on a rollback; [Hub.Hold] keeps everybody from the old values from
// just before the commit on. A unit that has named its changes so reads them from its source,
// not from the cache, and does not store them.
//
// # Tenancy
//
// With Options.Tenant every key and tag belongs to the tenant of the context, by
// construction; a context without one gets [ErrNoTenant] before anything is read. Data of no
// tenant goes through [Hub.Shared].
//
// # Errors
//
// [ErrNotFound] of a load is an answer and kept like one. Other errors of a load go to all
// callers who wait for it, as they are, and are not kept. A panic in a load becomes an error
// that wraps [ErrLoadPanic]. Errors of the store do not reach callers of Fetch; they go to
// Options.Logger and Options.Errors once per outage and are counted in Options.Metrics. A
// panic or an error in encoding or decoding a value is reported in Options.Errors; after an
// error the value is loaded.
//
// # Concurrency
//
// All methods may be called from any goroutine. Values are shared between callers: treat
// them as read-only. A load runs in a goroutine of its own and goes on when the caller who
// started it leaves, until Policy.LoadTimeout; Run waits for these before it returns.
package cache
