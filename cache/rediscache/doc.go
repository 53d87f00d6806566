// Package rediscache keeps the shared level of package cache in Redis 7 or later, or Valkey.
//
// Each entry is one string that begins with a header of the lease (header.go), so that
// whatever deletes the entry, be it a person with redis-cli or eviction, also voids a load in
// progress. A hit is one command, MGET of the entry and the stamps of its tags; only what is
// missing is asked for again with SET NX GET, which reads and takes the lease in one. Tags are
// stamps from a logical clock kept in Redis; there are no sets of members to grow or leak, and
// nothing ever scans. Invalidations are published in the script that executes them. See
// package cache for what all this guarantees.
//
// The adapter uses keys that begin with Options.Prefix and a colon, and channels likewise.
// All processes must use the same Prefix. Entries have a TTL, so any eviction policy works.
// On a Cluster it uses keys of one slot per command, and beats through every master.
//
// Set ContextTimeoutEnabled in the client's options: otherwise go-redis ignores deadlines of
// contexts, and a Redis that hangs holds a Fetch for the client's ReadTimeout, not for
// cache.Options.StoreTimeout.
package rediscache
