// Package jobs is a background job queue: typed handlers, retries with backoff,
// delayed and unique jobs, dead letters, schedules, and worker crashes that
// lose nothing.
//
// A Queue is one queue; a program may have several, each with its own workers.
// Where jobs are stored is up to the Driver: redisjobs for Redis and Valkey,
// jobstest for tests. Package outboxjobs enqueues out of database transactions.
//
// # Usage
//
// A job is a struct with a Kind; its JSON is what is stored. Handle registers
// the function that runs it, Enqueue stores one, Run works. The same program
// may do all three, or producers only Enqueue and workers only Run. See the
// examples.
//
// A handler's error is a failed attempt, to be repeated after a backoff; the
// verdicts Retry, Snooze and Discard say otherwise. HandleResult keeps what a
// handler returns for Result and Await.
//
// A Flow is stages of jobs: each stage begins when the one before has ended,
// and reads its results with Inputs. Stages of one job are a chain, of many a
// batch, many and then one a chord.
//
// Cron declares a schedule that is part of the program. Queue.Schedule stores
// one at run time, for a monitor or a report of a customer; there may be very
// many. Both take crontab expressions in any time zone, are fired by whichever
// process runs the queue, and can be listed, paused and run now from others.
//
// # Delivery
//
// A job whose Enqueue returned nil is run at least once, until it succeeds or
// is dead, as long as the store keeps what it acknowledged. A worker that dies
// or is cut off loses its lease (Options.Lease) and its jobs go to others, in
// front; so a job may run again if its worker died between finishing and
// reporting. It is also stored again, if it has finished meanwhile, when the
// answer to its Enqueue got lost and the caller or the store's client repeats
// the call. Handlers must be idempotent. Dead jobs (out of attempts, or three
// workers died or were cut off with them) stay until Requeue or Delete. A job of an unknown
// kind is put back for workers that know it, never discarded.
//
// Jobs of one tenant start in the order they were enqueued, apart from delays
// and retries; tenants take turns. Leases, due times and ticks are read off the
// store's clock, so the clocks of the processes do not matter.
//
// A tick of a schedule is enqueued once, together with the note that it was,
// however many processes run the schedule, and never before its time on the
// store's clock. Ticks that nobody was there for are caught up with, as
// CronOptions.CatchUp says.
//
// Tenants take turns when a worker takes jobs from the store. It takes some
// before it has a handler free for them, the more the faster handlers return,
// and these are not overtaken: up to 500, but where tenants take turns
// (Options.WithTenant) it holds no more than 180 of one tenant, or of those
// without one, or Options.Concurrency if that is more. So many jobs of a large
// tenant, and one, may start in a process before the first one of a small tenant
// that was enqueued meanwhile, and for handlers of a millisecond and more about
// as many as run at a time.
//
// Pause, SetLimit and SetWeight hold a queue, a tenant or a kind back, in all
// processes at once. What one tenant may not start makes way for the others.
//
// # Tenancy
//
// With Options.Tenant and Options.WithTenant set, each job carries the tenant
// it was enqueued for and its handler's context has it again; enqueueing
// without a tenant is refused with ErrNoTenant, unless EnqueueOptions.NoTenant
// says that this job belongs to none. Unique keys are per tenant and kind. Jobs
// of Cron belong to no tenant; those of Queue.Schedule, and the names of its
// schedules, to that of its context.
//
// A context with a tenant reaches the jobs, flows and schedules of that tenant
// alone: those of others, and of none, are not found, not listed and not
// changed. A context without one is an operator's and reaches all. Stats, History,
// Workers, Control, Pause, Resume, SetLimit and SetWeight are an operator's
// whatever the context: they are about the whole queue or name whom they are
// for, so let no customer choose that.
//
// # Errors
//
// Enqueue answers ErrTooLarge, ErrFull, ErrQueueFull, ErrNoTenant and ErrIDTaken,
// for which nothing was stored, or the driver's error, wrapped. A handler's
// error is a failed attempt; its text is stored, up to 2 KiB, so keep secrets out of it. A panic
// is an error with a stack, see PanicError. A handler's context ends with the
// cause ErrTimeout, ErrLeaseLost or ErrShutdown; after the last two its error
// counts for nothing and the job is run again.
//
// # Concurrency
//
// All methods of Queue are safe for concurrent use. New starts nothing; Run
// blocks until its context ends and then drains. Handlers run on goroutines of
// their own, Options.Concurrency at a time. The caller owns the driver's
// client.
package jobs
