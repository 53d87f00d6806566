// Package redishttp keeps what packages of httpx store in Redis 7 or later, or Valkey, alone, behind Sentinels or as a
// Cluster: so far the buckets of package ratelimit. See there for what they guarantee.
//
// Each decision is one script in one round trip, on Redis' own clock. All its keys have one hash tag, the group that the
// limiter makes of tenant and key, so a Cluster spreads whoever is limited over its nodes. A key holds four numbers, is gone
// as soon as its bucket is full, and shows neither address nor secret: ratelimit hashes them.
//
// What Redis forgets has its units back: keys that are evicted or flushed, and what a failover loses. Clocks of master and
// replica that differ shift the buckets by as much, and a clock put back empties them at most: it never locks anybody out
// for longer than an empty bucket does.
package redishttp
