package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Options configures a [Limiter]. Nil and the zero value are ready for use.
type Options struct {
	// Tenant, tenancy.IDFrom for example, gives each tenant buckets of its own. A context in which it finds none is
	// ErrNoTenant. Nil means that the key of a call is all that counts.
	Tenant func(context.Context) (id string, ok bool)

	// Limits returns the limits of one call, those of a tenant's plan for example, in place of the ones given to New; none
	// means those of New. What was taken of a limit of the same name counts: who had all of 1000 a day and gets 10000 has
	// 9000 left. Limits that differ from call to call of one key, not from day to day, need names of their own: a bucket
	// that is asked for with a smaller Burst keeps no more than that, and the rest is given back. An error fails the call.
	// It is asked for each call, so it should know the answer. Nil means those of New.
	Limits func(context.Context) ([]Limit, error)

	// Failure is what happens while the store does not answer. Zero means FailLocal.
	Failure Failure

	// Processes is how many processes share the store; FailLocal gives each of them that part of the limits. Zero means 1,
	// more than 10000 is refused.
	Processes int

	// Timeout bounds the wait for the store; it should be shorter than what callers have, since a call whose own context
	// ends first fails with its error. Zero means 100 ms: longer than the pauses of a process with a CPU quota, which would
	// look like failures. Negative means no bound but those of the context and the store.
	Timeout time.Duration

	// Secret is mixed into the names that the store sees. Keys are hashed before: without a secret, who reads the store
	// could still find by trial the keys that can be guessed, like addresses. All processes have the same one; another
	// one makes all buckets full again. Nil means none.
	Secret []byte

	// DryRun lets calls pass that are denied, and counts them in Metrics; clients see nothing of the limits. False means
	// that they are denied.
	DryRun bool

	// Metrics counts decisions as "httpx.ratelimit", with the keys limiter, limit (the one that denied, or ""), outcome
	// (allowed, denied, would_deny, unavailable) and by (store, local, open; closed for unavailable). Nil counts nothing.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}

	// Logger is told when three calls in a row have failed and when the store is back, once a second at most. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Limiter decides whether calls may go on. It is safe for concurrent use.
type Limiter struct {
	store   Store
	name    string
	rules   []rule
	opts    Options
	local   *Memory
	breaker breaker
	queue   queue
}

const defaultTimeout = 100 * time.Millisecond

// New makes a limiter over a store, which may be shared with others. name is the prefix of the limits' names: 1 to 32 of
// A-Z a-z 0-9 _ -. A call has to pass all of the limits. New does no I/O. Its errors are [ErrLimit], or name the argument.
func New(store Store, name string, limits []Limit, opts *Options) (*Limiter, error) {
	l := &Limiter{store: store, name: name, local: NewMemory(nil)}
	if opts != nil {
		l.opts = *opts
		l.opts.Secret = slices.Clone(opts.Secret)
	}
	switch o := &l.opts; {
	case store == nil:
		return nil, errors.New("ratelimit: New: the store is nil")
	case !nameForm.MatchString(name):
		return nil, fmt.Errorf("ratelimit: New: the name %.40q is not 1 to 32 of A-Z a-z 0-9 _ -", name)
	case o.Failure < FailLocal || o.Failure > FailClosed:
		return nil, fmt.Errorf("ratelimit: New: Options.Failure is %v", o.Failure)
	case o.Processes < 0 || o.Processes > 10_000:
		return nil, fmt.Errorf("ratelimit: New: Options.Processes is %d, want 0 to 10000", o.Processes)
	case o.Timeout == 0:
		o.Timeout = defaultTimeout
	}
	if l.breaker.slow = l.opts.Timeout / 2; l.opts.Timeout < 0 {
		l.breaker.slow = defaultTimeout / 2
	}
	var err error
	if l.rules, err = l.compile(limits); err != nil {
		return nil, err
	}
	return l, nil
}

// Allow asks for one unit of each limit; see [Limiter.AllowN].
func (l *Limiter) Allow(ctx context.Context, key string) (Decision, error) {
	return l.AllowN(ctx, key, 1)
}

// AllowN asks for n units of each limit, for whoever key stands for: an id, an address, a token; of any length, for it is
// hashed. "" is everybody, or, with [Options].Tenant, the tenant. Either all limits have n left and give them, or none gives
// any. An n of zero takes nothing and is always allowed: it shows what is left.
//
// A call that is denied is no error; see [Decision.Err]. Errors are [ErrCost], [ErrNoTenant], what [Options].Limits returned,
// [ErrLimit] if its limits are not valid, [ErrUnavailable], and that of a context that ended meanwhile. After an error
// nothing is known to have been taken. A store whose answer gets lost may have counted the call all the same.
func (l *Limiter) AllowN(ctx context.Context, key string, n int64) (Decision, error) {
	group, rules, err := l.target(ctx, key)
	if err != nil {
		return Decision{}, err
	}
	for _, r := range rules {
		if n < 0 || n > r.burst {
			return Decision{}, fmt.Errorf("%w: %d of %s, want 0 to %d", ErrCost, n, r.name, r.burst)
		}
	}
	d, by, err := l.decide(ctx, group, rules, n)
	if err != nil && !errors.Is(err, ErrUnavailable) {
		return Decision{}, err
	}
	outcome := "allowed"
	switch {
	case err != nil && l.opts.DryRun:
		d, err, outcome = Decision{Allowed: true, Fallback: true}, nil, "unavailable"
	case err != nil:
		outcome = "unavailable"
	case !d.Allowed && l.opts.DryRun:
		d.Allowed, outcome = true, "would_deny"
	case !d.Allowed:
		outcome = "denied"
	}
	if l.opts.Metrics != nil {
		l.opts.Metrics.Add(ctx, "httpx.ratelimit", 1, "limiter", l.name, "limit", d.DeniedBy, "outcome", outcome, "by", by)
	}
	return d, err
}

// Reset gives key all units of all limits back, after a login that succeeded for example. Where there are different
// limits for different calls it resets those of ctx. Its errors are those of AllowN but for ErrCost, and those of the
// store, whatever Options.Failure says.
func (l *Limiter) Reset(ctx context.Context, key string) error {
	group, rules, err := l.target(ctx, key)
	if err != nil {
		return err
	}
	keys := make([]string, len(rules))
	for i, r := range rules {
		keys[i] = r.key
	}
	_ = l.local.Reset(ctx, group, keys) // fails with ctx, and then the other does
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	if err := l.store.Reset(ctx, group, keys); err != nil {
		return fmt.Errorf("ratelimit: reset %s: %w", l.name, err)
	}
	return nil
}

func (l *Limiter) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.opts.Timeout < 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, l.opts.Timeout)
}

// decide asks the store, and does without it if it has to. by says who decided.
func (l *Limiter) decide(ctx context.Context, group string, rules []rule, n int64) (d Decision, by string, err error) {
	if err := ctx.Err(); err != nil {
		return Decision{}, "", err
	}
	cause := errGivenUp
	if l.breaker.allow() {
		start := time.Now()
		d, err := l.ask(ctx, group, rules, n)
		if err == nil {
			if l.breaker.succeeded() {
				l.logger().InfoContext(ctx, "ratelimit: the store is back", "limiter", l.name)
			}
			return d, "store", nil
		}
		if ended := ended(ctx); ended != nil {
			l.breaker.left()
			return Decision{}, "", ended
		}
		if l.breaker.failed(start) {
			l.logger().WarnContext(ctx, "ratelimit: the store fails", "limiter", l.name, "failure", l.opts.Failure.String(), "error", err)
		}
		cause = err
	}
	switch l.opts.Failure {
	case FailOpen:
		return Decision{Allowed: true, Fallback: true}, "open", nil
	case FailClosed:
		return Decision{}, "closed", fmt.Errorf("%w: %w", ErrUnavailable, cause)
	}
	local := make([]rule, len(rules))
	for i, r := range rules {
		local[i] = r.local(int64(max(l.opts.Processes, 1)), n)
	}
	backlogs, taken, err := l.local.Take(ctx, group, takes(local, n))
	if err != nil {
		return Decision{}, "", err
	}
	d = decision(local, backlogs, taken, n)
	d.Fallback = true
	return d, "local", nil
}

// ended is the error of a context that has ended, or is past its deadline: connections notice that a moment before it does.
func ended(ctx context.Context) error {
	if at, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

func (l *Limiter) ask(ctx context.Context, group string, rules []rule, n int64) (Decision, error) {
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	backlogs, taken, err := l.store.Take(ctx, group, takes(rules, n))
	if err != nil {
		return Decision{}, err
	}
	if len(backlogs) != len(rules) {
		return Decision{}, fmt.Errorf("ratelimit: the store answers for %d of %d buckets", len(backlogs), len(rules))
	}
	d := decision(rules, backlogs, taken, n)
	if !d.Allowed && d.DeniedBy == "" {
		return Decision{}, fmt.Errorf("ratelimit: the store denies %d of %s, which by its own answer fit", n, rules[0].name)
	}
	return d, nil
}

var errGivenUp = errors.New("it hung a moment ago")

func takes(rules []rule, n int64) []Take {
	all := make([]Take, len(rules))
	for i, r := range rules {
		add := r.unit
		if n != 1 {
			add = r.span(n)
		}
		all[i] = Take{Key: r.key, Add: add, Room: r.room, Rate: r.rate, Per: r.per, most: r.most}
	}
	return all
}

func (l *Limiter) logger() *slog.Logger {
	if l.opts.Logger != nil {
		return l.opts.Logger
	}
	return slog.Default()
}
