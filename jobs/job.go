package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Args are the arguments of a job: a plain struct whose JSON travels through
// the store. Kind is its stable name, such as "invoice.send": it is stored
// with the job, so renaming the type is safe and renaming the kind is not.
// Kind must work on the zero value.
type Args interface{ Kind() string }

// Info describes the job a handler works on.
type Info struct {
	ID          string
	Kind        string
	Tenant      string // "" if the job belongs to none
	Attempt     int    // 1 for the first
	MaxAttempts int
	Crashes     int    // how often a worker died while it held this job
	LastError   string // of the previous attempt
}

type infoKey struct{}

// InfoFrom returns the job that ctx belongs to, or false outside a handler.
func InfoFrom(ctx context.Context) (Info, bool) {
	info, ok := ctx.Value(infoKey{}).(Info)
	return info, ok
}

// envelopeVersion is what this package writes. A worker gives jobs of a later
// version back.
const envelopeVersion = 1

// envelope is the stored form of a job, JSON, immutable while the job lives:
//
//	{"v":1,"kind":"invoice.send","tenant":"acme","max":20,"args":{…}}
type envelope struct {
	Version     int             `json:"v"`
	Kind        string          `json:"kind"`
	Tenant      string          `json:"tenant,omitempty"`
	MaxAttempts int             `json:"max,omitempty"` // 0: the consumer's Options.MaxAttempts
	Args        json.RawMessage `json:"args"`
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

	// Key makes the job unique: while an unfinished job of the same tenant
	// has the same key, nothing is stored and the receipt names that job.
	// Empty means not unique. A dead job does not hold its key.
	Key string

	// ID is the job's id, for callers that must be able to repeat an enqueue
	// whose answer was lost: an id that is in the store is not stored again.
	// Ids are one space for all tenants: make them unguessable or your own.
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
	if opts == nil {
		opts = &EnqueueOptions{}
	}
	if args == nil {
		return driver.Job{}, fmt.Errorf("jobs: args are nil")
	}
	kind := args.Kind()
	if err := checkName("kind", kind); err != nil {
		return driver.Job{}, err
	}
	if err := opts.check(); err != nil {
		return driver.Job{}, fmt.Errorf("jobs: enqueue %s: %w", kind, err)
	}
	if len(tenant) > maxName || !utf8.ValidString(tenant) {
		return driver.Job{}, fmt.Errorf("jobs: enqueue %s: tenant id is longer than %d bytes or not UTF-8", kind, maxName)
	}
	data, err := json.Marshal(args)
	if err != nil {
		return driver.Job{}, fmt.Errorf("jobs: encode %s: %w", kind, err)
	}
	if maxPayload >= 0 && len(data) > maxPayload {
		return driver.Job{}, fmt.Errorf("%w: %s has %d bytes, the limit is %d", ErrTooLarge, kind, len(data), maxPayload)
	}
	body, err := json.Marshal(envelope{
		Version: envelopeVersion, Kind: kind, Tenant: tenant, MaxAttempts: opts.MaxAttempts, Args: data,
	})
	if err != nil {
		return driver.Job{}, fmt.Errorf("jobs: encode %s: %w", kind, err)
	}
	job := driver.Job{ID: opts.ID, Kind: kind, Tenant: tenant, Body: body, Delay: opts.Delay, At: opts.At}
	if job.ID == "" {
		job.ID = newID()
	}
	if opts.Key != "" {
		// The length keeps the keys of tenants apart, whatever is in them.
		job.Unique = strconv.Itoa(len(tenant)) + ":" + tenant + opts.Key
	}
	return job, nil
}

func (o *EnqueueOptions) check() error {
	switch {
	case o.Delay < 0:
		return fmt.Errorf("EnqueueOptions.Delay is negative")
	case o.Delay > 0 && !o.At.IsZero():
		return fmt.Errorf("EnqueueOptions has both Delay and At")
	case o.MaxAttempts < 0:
		return fmt.Errorf("EnqueueOptions.MaxAttempts is negative")
	case len(o.Key) > maxName:
		return fmt.Errorf("EnqueueOptions.Key is longer than %d bytes", maxName)
	case o.ID != "":
		return checkName("EnqueueOptions.ID", o.ID)
	}
	return nil
}

const (
	maxName   = 128
	nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// checkName accepts what is safe as part of a stored member: no blanks, no
// control characters, and a first character that no private marker begins with.
func checkName(what, s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("jobs: %s must have 1 to %d bytes, has %d", what, maxName, len(s))
	}
	if !strings.Contains(nameChars, s[:1]) || strings.Trim(s, nameChars+"_-.:/@+") != "" {
		return fmt.Errorf("jobs: %s %.40q has characters other than letters, digits and _-.:/@+", what, s)
	}
	return nil
}
