package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Options configure a Queue. A nil pointer means the zero value, which is
// ready for use.
type Options struct {
	// Concurrency is how many handlers Run executes at a time. Zero means
	// 4×GOMAXPROCS, at most MaxBatch. Negative means none: Run then only fires
	// schedules and gives the jobs of dead workers back.
	Concurrency int

	// Name is what Queue.Workers calls this process, of up to 128 bytes. It is
	// stored in clear. Empty means host name and process id, "web-1/4711".
	Name string

	// MaxAttempts is how often a job runs before it is dead. Zero means 20.
	// Negative is an error. EnqueueOptions.MaxAttempts overrides it.
	MaxAttempts int

	// Backoff returns how long to wait after a failed attempt; the first is 1.
	// What it returns is limited to 0…24 h. Nil means attempt⁴+15 seconds and
	// up to a tenth more at random: 16 s, 31 s, 96 s, …; the 20th attempt comes
	// after almost six days.
	Backoff func(attempt int) time.Duration

	// Timeout is how long one attempt may take before its context ends. A
	// handler that goes on keeps its slot. Zero means 30 minutes. Negative
	// means no limit.
	Timeout time.Duration

	// Lease is how long the jobs of a worker that died or hangs stay with it.
	// It is renewed three times as often. Zero means 15 s. Less than 100 ms is
	// an error.
	Lease time.Duration

	// MaxCrashes is how many workers may die while they hold a job before it
	// is taken to be the reason and is dead. Zero means 3. Negative means no
	// limit. A worker holds one job at a time that one more would bury, so that
	// those which only waited beside the reason are not.
	MaxCrashes int

	// DrainTimeout is how long running handlers may take to finish once the
	// context of Run ends; then their contexts end too. Zero means 25 s.
	// Negative means at once.
	DrainTimeout time.Duration

	// MaxPayload limits the JSON of a job's arguments in bytes. Zero means
	// 256 KiB. Negative means no limit.
	MaxPayload int

	// MaxDepth is how many unfinished jobs the queue may hold for an enqueue of
	// this Queue to be accepted; a deeper one refuses with ErrQueueFull. Zero
	// means no limit. Negative is an error.
	MaxDepth int

	// Codec seals arguments and results on their way to the store and opens
	// them again; a Keyring is one. What it binds must be the same for both.
	// Jobs that were stored without a codec are run as they are, and results
	// read, unless RequireSealed refuses them. Jobs of an outbox (package
	// outboxjobs) are stored without, but for those of EnqueueTo. Nil means plain
	// JSON.
	//
	// A codec whose keys change may have KeyOf(sealed []byte) string, too, which
	// names the key of a sealed text, for Entry.SealedBy: without it
	// Queue.Schedule stores a schedule anew with each call.
	Codec interface {
		Seal(plain, bound []byte) ([]byte, error)
		Open(sealed, bound []byte) ([]byte, error)
	}

	// RequireSealed refuses what is stored in clear, so that who writes to the
	// store cannot have arguments of his own run: such a job is dead, with the
	// reason, such a schedule is not fired, and such a result is an error. Nothing
	// is lost: Requeue gives a dead job to a worker without RequireSealed. Set it
	// once no job of before the Codec is left, and not for a queue whose outbox
	// stores jobs without it. Without a Codec it is an error. False means that jobs
	// in clear are run beside sealed ones.
	RequireSealed bool

	// OnEnqueue goes around each Enqueue, EnqueueMany and Start, the first
	// outermost, by the caller's goroutine, which waits for it. It may change
	// items, before they are checked and encoded, must call next once at most, and
	// answers a receipt for each item or an error. It is not called for ticks,
	// RunNow and NewJob, so not for jobs of an outbox. Many calls run side by side.
	// Nil means none.
	OnEnqueue []func(ctx context.Context, items []Item, next func(context.Context, []Item) ([]Receipt, error)) ([]Receipt, error)

	// OnWork goes around each handler, the first outermost, by its goroutine and
	// within its timeout; InfoFrom knows the job. What it returns counts as the
	// handler's error. Set it before Handle. Nil means none.
	OnWork []func(ctx context.Context, next func(context.Context) error) error

	// Trace carries the trace of who enqueues a job to its handler, in the form
	// of W3C Trace Context. Nil functions carry nothing.
	Trace struct {
		Inject  func(ctx context.Context) (traceparent, tracestate string)
		Extract func(ctx context.Context, traceparent, tracestate string) context.Context
	}

	// Tenant finds the tenant a job is enqueued for; a context without one is
	// refused with ErrNoTenant. Nil means that jobs belong to no tenant. It
	// goes with WithTenant.
	Tenant func(context.Context) (id string, ok bool)

	// WithTenant puts the job's tenant into the handler's context. Nil means
	// that jobs of tenants are left to other workers. It goes with Tenant. A
	// worker with it takes fewer jobs ahead, so that a large tenant delays small
	// ones by fewer: see Delivery in the package documentation.
	WithTenant func(context.Context, string) context.Context

	// Logger gets failed attempts and lost leases. Nil means slog.Default().
	Logger *slog.Logger

	// Errors gets panics and the last error of each job that died. Nil means
	// that they are only logged.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}

	// Metrics gets jobs.enqueued, jobs.duplicate, jobs.finished, jobs.retried,
	// jobs.buried, jobs.returned, jobs.cancelled, jobs.stuck (by kind),
	// jobs.reclaimed. Nil means none.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}

	// Observer is told of each job, with its times. Nil means nobody.
	Observer *Observer
}

// defaultBackoff cannot overflow, whatever the attempt.
func defaultBackoff(attempt int) time.Duration {
	if attempt > 17 { // 17⁴ s is less than a day, 18⁴ s more
		return maxDelay
	}
	n := time.Duration(max(attempt, 1))
	d := (n*n*n*n + 15) * time.Second
	return min(d+rand.N(d/10), maxDelay)
}

// maxDelay bounds every backoff.
const maxDelay = 24 * time.Hour

func (o *Options) check() error {
	switch {
	case o == nil:
		return nil
	case o.Concurrency > driver.MaxBatch:
		return errors.New("jobs: Options.Concurrency is above 500; run more processes")
	case len(o.Name) > maxName || !utf8.ValidString(o.Name):
		return fmt.Errorf("jobs: Options.Name is longer than %d bytes or not UTF-8", maxName)
	case o.MaxAttempts < 0:
		return errors.New("jobs: Options.MaxAttempts is negative")
	case o.MaxDepth < 0:
		return errors.New("jobs: Options.MaxDepth is negative")
	case o.Lease != 0 && o.Lease < 100*time.Millisecond:
		return errors.New("jobs: Options.Lease is below 100 ms")
	case (o.Tenant == nil) != (o.WithTenant == nil):
		return errors.New("jobs: set both Options.Tenant and Options.WithTenant, or neither")
	case o.RequireSealed && o.Codec == nil:
		return errors.New("jobs: Options.RequireSealed needs a Codec")
	}
	return nil
}

func (o *Options) name() string {
	if o != nil && o.Name != "" {
		return o.Name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	pid := "/" + strconv.Itoa(os.Getpid())
	return host[:min(len(host), maxName-len(pid))] + pid
}

func (o *Options) concurrency() int {
	if o == nil || o.Concurrency == 0 {
		return min(4*runtime.GOMAXPROCS(0), driver.MaxBatch)
	}
	return max(o.Concurrency, 0)
}

// mostEach bounds how many jobs of one tenant a worker holds; zero is no bound.
// Those without a tenant count as one's: one that comes next may have one, and
// waits behind them.
func (o *Options) mostEach() int {
	if o == nil || o.WithTenant == nil {
		return 0
	}
	return max(fairHold, o.concurrency())
}

func (o *Options) maxAttempts() int {
	if o == nil || o.MaxAttempts == 0 {
		return 20
	}
	return o.MaxAttempts
}

func (o *Options) backoff(attempt int) time.Duration {
	f := defaultBackoff
	if o != nil && o.Backoff != nil {
		f = o.Backoff
	}
	return min(max(f(attempt), 0), maxDelay)
}

func (o *Options) timeout() time.Duration {
	if o == nil || o.Timeout == 0 {
		return 30 * time.Minute
	}
	return o.Timeout
}

func (o *Options) lease() time.Duration {
	if o == nil || o.Lease == 0 {
		return 15 * time.Second
	}
	return o.Lease
}

func (o *Options) maxCrashes() int {
	if o == nil || o.MaxCrashes == 0 {
		return 3
	}
	return max(o.MaxCrashes, 0)
}

func (o *Options) drainTimeout() time.Duration {
	if o == nil || o.DrainTimeout == 0 {
		return 25 * time.Second
	}
	return max(o.DrainTimeout, 0)
}

func (o *Options) maxPayload() int {
	if o == nil || o.MaxPayload == 0 {
		return 256 << 10
	}
	return max(o.MaxPayload, -1)
}

func (o *Options) maxDepth() int {
	if o == nil {
		return 0
	}
	return o.MaxDepth
}

// wrap puts OnWork around a handler.
func (o *Options) wrap(h handler) handler {
	if o == nil || len(o.OnWork) == 0 {
		return h
	}
	return func(ctx context.Context, args []byte) (result []byte, err error) {
		next := func(ctx context.Context) (err error) {
			result, err = h(ctx, args)
			return err
		}
		for _, around := range slices.Backward(o.OnWork) {
			inner := next
			next = func(ctx context.Context) error { return around(ctx, inner) }
		}
		err = next(ctx)
		return result, err
	}
}

// W3C Trace Context: a traceparent of version 00 has 55 characters, and 512 of
// a tracestate should be propagated.
const maxParent, maxState = 55, 512

func (o *Options) inject(ctx context.Context, env *envelope) {
	if o == nil || o.Trace.Inject == nil {
		return
	}
	if parent, state := o.Trace.Inject(ctx); parent != "" && len(parent) <= maxParent {
		env.Trace = parent
		if len(state) <= maxState {
			env.State = state
		}
	}
}

func (o *Options) extract(ctx context.Context, env envelope) context.Context {
	if o == nil || o.Trace.Extract == nil || env.Trace == "" {
		return ctx
	}
	return o.Trace.Extract(ctx, env.Trace, env.State)
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

func (o *Options) report(ctx context.Context, err error, stack []byte) {
	if o != nil && o.Errors != nil {
		o.Errors.Report(ctx, err, stack)
	}
}

func (o *Options) count(ctx context.Context, name string, n int, kv ...string) {
	if o != nil && o.Metrics != nil && n > 0 {
		o.Metrics.Add(ctx, name, float64(n), slices.Clone(kv)...) // so that no caller makes kv on the heap for nothing
	}
}

// tenant asks the seam. It is the first thing an enqueue does.
func (o *Options) tenant(ctx context.Context, opts *EnqueueOptions) (string, error) {
	if o == nil || o.Tenant == nil || opts != nil && opts.NoTenant {
		return "", nil
	}
	id, ok := o.Tenant(ctx)
	if !ok || id == "" {
		return "", ErrNoTenant
	}
	return id, nil
}
