// Package redisjobs stores the jobs of package jobs in Redis 7 or Valkey:
// stand-alone, Sentinel or Cluster, through any redis.UniversalClient.
//
// Use a Redis that keeps what it acknowledged (appendonly yes; with
// appendfsync always nothing accepted is lost in a crash, with everysec up to
// two seconds) and does not evict (maxmemory-policy noeviction); keep caches
// elsewhere. When Redis is full, enqueueing answers driver.ErrFull and workers go
// on until there is room again.
//
// Keep the client's ReadTimeout times its retries (12 s by default) below
// jobs.Options.Lease: a call that hangs longer costs the lease, though no job.
// A running queue sends about two commands a second while it is idle.
//
// # Layout
//
// A queue is one hash tag; every key is declared to every script, so a queue
// lives in one slot of a Cluster. Keys begin with "<prefix>:{<queue>}:".
//
//	ready     ZSET  "<id> <route>" by virtual finish time (see lua/part_place.lua)
//	due       ZSET  "<id> <route>" by due ms: delayed jobs and retries
//	body      HASH  id → envelope, immutable
//	meta      HASH  id → attempts, crashes, last error; only after a failure
//	clock     HASH  virtual clocks of the fair queueing
//	held:<w>  HASH  id → route: the jobs worker w holds
//	lease     ZSET  worker by end of its lease, ms
//	dead      ZSET  id by time of death, ms
//	unique    HASH  key → id and id → key of unfinished unique jobs
//	cron      HASH  schedule → latest tick, ms
//	wake      LIST  zero or one token for a blocked worker
//	position  STRING cursor of the outbox (driver.Positioner)
//
// An accepted id is in exactly one of ready, due, held:* and dead, and its body
// in body; each script keeps it so. A finished job leaves nothing behind.
package redisjobs
