// Package redisjobs stores the jobs of package jobs in Redis 7 or Valkey:
// stand-alone, Sentinel or Cluster, through any redis.UniversalClient.
//
// Use a Redis that keeps what it acknowledged (appendonly yes; with
// appendfsync always nothing accepted is lost in a crash, with everysec up to
// two seconds) and does not evict (maxmemory-policy noeviction); keep caches
// elsewhere. When Redis is full, enqueueing answers driver.ErrFull and workers go
// on until there is room again.
//
// A failover, by Sentinel or in a Cluster, keeps what the new master had heard
// of. Redis does not wait for replicas: of what the old one acknowledged last,
// enqueued jobs may be lost, and jobs taken or finished may run again; with a
// replica that keeps up that is a moment's, with one that lags all it missed. The
// queue goes on by itself, nothing stays counted or locked. Jobs that must outlive
// a master belong into package outboxjobs, which stores them again. In a Cluster
// set ClusterOptions.ClusterStateReloadInterval to a second or so: by default the
// client may call a dead master for a minute. A slot may move to another node
// while the queue is worked on.
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
//	ready     ZSET  id by priority and virtual finish time (lua/part_place.lua)
//	due       ZSET  id by due ms: delayed jobs and retries
//	body      HASH  id → route and envelope (lua/part_route.lua), immutable
//	meta      HASH  id → attempts, crashes, latest failures (lua/part_meta.lua); only
//	                after one
//	clock     HASH  virtual clocks of the fair queueing
//	held:<w>  HASH  id → number of the exchange that gave it to worker w, when its
//	                handler began once it runs for a while, and its route where that
//	                matters (lua/part_route.lua); "@" the latest exchange of w
//	lease     ZSET  worker by end of its lease, ms
//	workers   HASH  worker → its lease, jobs held and what it says of itself, as of
//	                its latest beat
//	dead      ZSET  id by time of death, ms
//	done      ZSET  id by the end of its keeping, ms
//	result    HASH  id → when it finished, what it took, its result; only of kept jobs
//	unique    HASH  k<key> → id and i<id> → key of unique jobs
//	window    ZSET  key by the end of its window, ms (driver.UniqueFor)
//	progress  HASH  id → latest note of its handler
//	cancel    HASH  id → "" or "told": held jobs that someone cancelled
//	control   HASH  pauses, limits, weights (lua/part_limit.lua)
//	run, rate HASH  running jobs, and theoretical arrival times, of what is limited
//	parked    ZSET  jobs that a pause or limit of their tenant or kind holds, in order
//	parkedat  HASH  id → its member of parked
//	open      ZSET  group of parked jobs by when it may go on, ms
//	history   HASH  minute → tallies of the workers, 25 hours
//	cron      HASH  schedule in code → latest tick, ms; <name>" " → the latest that
//	                fired, "" if none has, where that is another
//	schedules HASH  schedule → last tick and what makes jobs of it (lua/part_schedule.lua)
//	ticks     ZSET  schedule by its next tick or the end of its claim, ms
//	claims    HASH  schedule → tick of its claim, ms
//	wake      LIST  zero or one token for a blocked worker
//	position  STRING cursor of the outbox (driver.Positioner)
//
// An accepted id is in exactly one of ready, due, parked, held:*, dead and done,
// and its body in body; each script keeps it so. A finished job leaves nothing
// behind unless it is kept. The channel "<prefix>:{<queue>}" carries hints that
// workers should beat.
//
// The command jobs/jobsctl shows and changes queues from a terminal.
package redisjobs
