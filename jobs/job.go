package jobs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Args are the arguments of a job: a plain struct whose JSON travels through
// the store. Kind is its stable name, such as "invoice.send": it is stored
// with the job, so renaming the type is safe and renaming the kind is not.
// Kind must work on the zero value. Nil, also a nil pointer, is an error.
//
// A type may have options of its own, for all its jobs: with a method
//
//	JobOptions() jobs.EnqueueOptions
//
// each of whose fields counts where the one given to Enqueue is zero; Delay and
// At are one field. So what the type asks for can be changed, but not taken
// back. A Scope of the type means nothing to a job without a Key, nor a Window
// beside another Scope.
type Args interface{ Kind() string }

// Info describes the job a handler works on.
type Info struct {
	ID          string
	Kind        string
	Tenant      string // "" if the job belongs to none
	Flow        string // "" if it belongs to none
	Attempt     int    // 1 for the first
	MaxAttempts int
	Crashes     int    // how often a worker died while it held this job
	LastError   string // of the previous attempt
}

// EnqueueOptions are the options of one job. A nil pointer means the zero value.
type EnqueueOptions struct {
	// Delay is how long the job waits in the store at least. Zero means not
	// at all. Negative is an error.
	Delay time.Duration

	// At is the instant before which the job does not run, by the store's
	// clock. Zero means now. It cannot be combined with Delay.
	At time.Time

	// MaxAttempts is how often the job runs before it is dead. Zero means
	// Options.MaxAttempts of the queue that runs it. Negative is an error.
	MaxAttempts int

	// Priority orders jobs of all tenants: while one of a higher priority is
	// ready, none of a lower one starts. Zero means PriorityNormal.
	Priority Priority

	// Key makes the job unique: while another job of the same tenant and kind
	// holds the same key, nothing is stored and the receipt names that job. Empty
	// means not unique. A dead job does not hold its key; see Queue.Requeue.
	Key string

	// Scope says how long the job holds its Key. Zero means UntilDone. A worker
	// that gives a job back, since it does not know the kind or shuts down, or
	// that dies with it, gives the key back as well, if it is free.
	Scope UniqueScope

	// Window is how long a key of scope UniqueFor is held. Zero is an error
	// there, anything else elsewhere.
	Window time.Duration

	// Keep is how long the finished job stays to be found, with its result: by
	// Result, Find and List. Zero means not at all. Negative is an error.
	Keep time.Duration

	// ID is the job's id, for callers that must be able to repeat an enqueue
	// whose answer was lost: an id that is in the store is not stored again.
	// Ids are one space for all tenants, where one that another's job has is
	// refused with ErrIDTaken: make them unguessable or your own.
	// 1-128 letters, digits and _-.:/@+, beginning with a letter or digit.
	// Empty means a new one.
	ID string

	// NoTenant stores a job that belongs to no tenant, whatever the context
	// says. Its handler runs without a tenant. False means the context's.
	NoTenant bool
}

// NewJob makes the stored form of a job: for drivers' tests and for bridges
// that carry jobs through another log; everyone else calls Queue.Enqueue.
// maxPayload bounds the arguments' JSON in bytes; negative means no limit.
func NewJob(tenant string, args Args, opts *EnqueueOptions, maxPayload int) (driver.Job, error) {
	s := newScratch()
	defer s.release()
	job, env, err := draft(s, tenant, args, withDefaults(args, opts), maxPayload)
	if err != nil {
		return driver.Job{}, err
	}
	job.Body = env.encode()
	return job, nil
}

// CheckJob refuses a job that NewJob cannot have made: its body must be an
// envelope of its kind and tenant, its unique key one of theirs. It is for
// bridges: whoever could write to the other log must not choose a tenant by it.
func CheckJob(job driver.Job) error {
	env, err := decode(job.Body)
	if err != nil && !errors.Is(err, errNewer) {
		return err
	}
	if err := errors.Join(checkName("id", job.ID), checkName("kind", job.Kind)); err != nil {
		return err
	}
	if env.Kind != job.Kind || env.Tenant != job.Tenant {
		return fmt.Errorf("jobs: job %s has the body of another kind or tenant", job.ID)
	}
	if job.Unique != "" && !strings.HasPrefix(job.Unique, uniquePrefix(job.Tenant, job.Kind)) {
		return fmt.Errorf("jobs: job %s has the key of another kind or tenant", job.ID)
	}
	return nil
}

// uniquePrefix begins the stored keys of a kind of a tenant. The length keeps
// tenants apart, whatever is in them, and kinds have no blanks.
func uniquePrefix(tenant, kind string) string {
	return strconv.Itoa(len(tenant)) + ":" + tenant + kind + " "
}

// newJob is NewJob with what a Queue knows: the tenant, the trace, the codec.
func (o *Options) newJob(ctx context.Context, args Args, opts *EnqueueOptions) (driver.Job, error) {
	opts = withDefaults(args, opts)
	tenant, err := o.tenant(ctx, opts)
	if err != nil {
		return driver.Job{}, err
	}
	return o.jobOf(ctx, tenant, args, opts, "")
}

// jobOf is newJob for a tenant that is known, opts that have the type's
// defaults, and an id that is not of the caller's choice, unless it is empty.
func (o *Options) jobOf(ctx context.Context, tenant string, args Args, opts *EnqueueOptions, id string) (driver.Job, error) {
	s := newScratch()
	defer s.release()
	job, env, err := draft(s, tenant, args, opts, o.maxPayload())
	if err != nil {
		return driver.Job{}, err
	}
	if id != "" {
		job.ID, env.Due = id, 0 // it may be due when an earlier stage has ended
	}
	o.inject(ctx, &env)
	if o.sealed() {
		if opts.Scope == Replace {
			env.Key = []byte(opts.Key)
		}
		env.Sealed, err = o.Codec.Seal(bytes.Clone(env.Args), env.boundArgs(job.ID))
		if err != nil {
			return driver.Job{}, fmt.Errorf("jobs: seal %s: %w", env.Kind, err)
		}
	}
	job.Body = env.encode()
	return job, nil
}

// draft makes all of a job but its body. The arguments in the envelope are
// gone with the scratch.
func draft(s *scratch, tenant string, args Args, opts *EnqueueOptions, maxPayload int) (driver.Job, envelope, error) {
	fail := func(err error) (driver.Job, envelope, error) { return driver.Job{}, envelope{}, err }
	if isNil(args) {
		return fail(errors.New("jobs: args are nil"))
	}
	kind := args.Kind()
	if err := checkName("kind", kind); err != nil {
		return fail(err)
	}
	if err := opts.check(); err != nil {
		return fail(fmt.Errorf("jobs: enqueue %s: %w", kind, err))
	}
	if len(tenant) > maxName || !utf8.ValidString(tenant) {
		return fail(fmt.Errorf("jobs: enqueue %s: tenant id is longer than %d bytes or not UTF-8", kind, maxName))
	}
	data, err := s.marshal(args)
	if err != nil {
		return fail(fmt.Errorf("jobs: encode %s: %w", kind, err))
	}
	if maxPayload >= 0 && len(data) > maxPayload {
		return fail(fmt.Errorf("%w: %s has %d bytes, the limit is %d", ErrTooLarge, kind, len(data), maxPayload))
	}
	env := envelope{
		Version: envelopeVersion, Kind: kind, Tenant: tenant,
		MaxAttempts: opts.MaxAttempts, Keep: ceilMillis(opts.Keep), Args: data,
	}
	switch {
	case !opts.At.IsZero():
		env.Due = opts.At.UnixMilli()
	case opts.Delay > 0:
		env.Due = time.Now().Add(opts.Delay).UnixMilli()
	case opts.ID != "":
		env.Due = time.Now().UnixMilli() // ids of newID say it themselves
	}
	job := driver.Job{
		ID: opts.ID, Kind: kind, Tenant: tenant, Priority: opts.Priority, Delay: opts.Delay, At: opts.At,
	}
	if job.ID == "" {
		job.ID = newID()
	}
	if opts.Key != "" {
		job.Unique = uniquePrefix(tenant, kind) + opts.Key
		job.Scope, job.Window = opts.Scope, opts.Window
	}
	return job, env, nil
}

// isNil tells of nil and of a nil pointer, whose methods would panic.
func isNil(args Args) bool {
	v := reflect.ValueOf(args)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

func ceilMillis(d time.Duration) int64 {
	d = min(d, math.MaxInt64-time.Millisecond) // so that rounding up does not overflow
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// noOptions is nobody's to write to.
var noOptions = &EnqueueOptions{}

// withDefaults fills the zero fields of opts with those that the type of the
// arguments asks for.
func withDefaults(args Args, opts *EnqueueOptions) *EnqueueOptions {
	opts = cmp.Or(opts, noOptions)
	kind, ok := args.(interface{ JobOptions() EnqueueOptions })
	if !ok || isNil(args) {
		return opts
	}
	o := kind.JobOptions()
	if opts.Key == "" && o.Key == "" {
		o.Scope, o.Window = "", 0
	}
	if opts.Scope != "" && opts.Scope != UniqueFor {
		o.Window = 0
	}
	if opts.Delay != 0 || !opts.At.IsZero() {
		o.Delay, o.At = opts.Delay, opts.At
	}
	o.MaxAttempts = cmp.Or(opts.MaxAttempts, o.MaxAttempts)
	o.Priority = cmp.Or(opts.Priority, o.Priority)
	o.Key = cmp.Or(opts.Key, o.Key)
	o.Scope = cmp.Or(opts.Scope, o.Scope)
	o.Window = cmp.Or(opts.Window, o.Window)
	o.Keep = cmp.Or(opts.Keep, o.Keep)
	o.ID = cmp.Or(opts.ID, o.ID)
	o.NoTenant = o.NoTenant || opts.NoTenant
	return &o
}

func (o *EnqueueOptions) check() error {
	switch {
	case o.Delay < 0:
		return errors.New("EnqueueOptions.Delay is negative")
	case o.Delay > 0 && !o.At.IsZero():
		return errors.New("EnqueueOptions has both Delay and At")
	case o.MaxAttempts < 0:
		return errors.New("EnqueueOptions.MaxAttempts is negative")
	case o.Keep < 0:
		return errors.New("EnqueueOptions.Keep is negative")
	case o.Priority < PriorityLow || o.Priority > PriorityUrgent:
		return fmt.Errorf("EnqueueOptions.Priority %d is unknown", o.Priority)
	case !slices.Contains([]UniqueScope{UntilDone, UntilStarted, UniqueFor, Replace}, o.Scope):
		return fmt.Errorf("EnqueueOptions.Scope %.20q is unknown", o.Scope)
	case o.Key == "" && o.Scope != "":
		return errors.New("EnqueueOptions.Scope needs a Key")
	case (o.Scope == UniqueFor) != (o.Window > 0):
		return errors.New("EnqueueOptions.Window goes with the scope UniqueFor, and only with it")
	case len(o.Key) > maxName:
		return fmt.Errorf("EnqueueOptions.Key is longer than %d bytes", maxName)
	case o.ID != "":
		return checkName("EnqueueOptions.ID", o.ID)
	}
	return nil
}

const maxName = 128

// checkName accepts what is safe as part of a stored member: no blanks, no
// control characters, and a first character that no private marker begins with.
func checkName(what, s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("jobs: %s must have 1 to %d bytes, has %d", what, maxName, len(s))
	}
	for i, c := range []byte(s) {
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if alnum || i > 0 && strings.IndexByte("_-.:/@+", c) >= 0 {
			continue
		}
		return fmt.Errorf("jobs: %s %.40q has characters other than letters, digits and _-.:/@+", what, s)
	}
	return nil
}
