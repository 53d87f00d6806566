package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// plan is the stored form of a schedule, short since there may be very many:
//
//	{"s":"H * * * *","k":"monitor.check","a":{"id":42}}
//
// The tenant and the name are in its key. The member "l" is the store's.
type plan struct {
	Version     int             `json:"v,omitempty"` // a later one is left to processes that know it
	Spec        string          `json:"s"`
	Kind        string          `json:"k"`
	Args        json.RawMessage `json:"a,omitempty"`
	Sealed      []byte          `json:"e,omitempty"` // instead of Args: what Options.Codec made of them
	Zone        string          `json:"z,omitempty"`
	CatchUp     CatchUp         `json:"c,omitempty"`
	MaxAge      int64           `json:"g,omitempty"` // ms
	NoOverlap   bool            `json:"n,omitempty"`
	Jitter      int64           `json:"j,omitempty"` // ms
	Priority    Priority        `json:"p,omitempty"`
	MaxAttempts int             `json:"m,omitempty"`
	Seen        int64           `json:"t,omitempty"` // in code: when a process had it, in s since 1970

	// What the type of the arguments asks for (JobOptions):
	Delay  int64       `json:"d,omitempty"` // ms
	Keep   int64       `json:"r,omitempty"` // ms
	Key    string      `json:"u,omitempty"`
	Scope  UniqueScope `json:"us,omitempty"`
	Window int64       `json:"uw,omitempty"` // ms
}

// sealedSchedule says of a sealed text that it is the arguments of a schedule.
const sealedSchedule = "schedule"

// plan makes the stored form of an entry.
func (e *entry) plan(o *Options) (plan, error) {
	args, err := json.Marshal(e.args)
	if err != nil {
		return plan{}, fmt.Errorf("jobs: encode %s: %w", e.args.Kind(), err)
	}
	defaults := withDefaults(e.args, &EnqueueOptions{MaxAttempts: e.opts.MaxAttempts, Priority: e.opts.Priority})
	p := plan{
		Spec: e.spec, Kind: e.args.Kind(), Args: args, Zone: e.opts.Zone,
		CatchUp: e.opts.CatchUp, MaxAge: ceilMillis(e.opts.MaxAge), NoOverlap: e.opts.NoOverlap,
		Jitter: int64(e.opts.Jitter / time.Millisecond), Priority: defaults.Priority,
		MaxAttempts: defaults.MaxAttempts,
		Delay:       ceilMillis(defaults.Delay), Keep: ceilMillis(defaults.Keep),
		Key: defaults.Key, Scope: defaults.Scope, Window: ceilMillis(defaults.Window),
	}
	if o.sealed() {
		tenant, name, _ := splitScheduleKey(e.key)
		if p.Sealed, err = o.Codec.Seal(args, bound(sealedSchedule, p.Kind, tenant, name)); err != nil {
			return plan{}, fmt.Errorf("jobs: seal %s: %w", p.Kind, err)
		}
		p.Args = nil
	}
	return p, nil
}

// encode leaves < > and & as they are, as the arguments have them.
func (p plan) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("jobs: encode schedule: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// parsePlan reads a stored schedule and leaves sealed what is.
func parsePlan(data []byte) (plan, error) {
	var p plan
	if err := json.Unmarshal(data, &p); err != nil || p.Kind == "" {
		return plan{}, errors.New("stored schedule is not readable")
	}
	if p.Version > 0 {
		return plan{}, errors.New("schedule was stored by a newer version of this package")
	}
	return p, nil
}

// readPlan is parsePlan for a schedule that is to be fired: its arguments are
// readable.
func (o *Options) readPlan(key string, data []byte) (plan, error) {
	p, err := parsePlan(data)
	if err != nil {
		return plan{}, err
	}
	if p.Sealed == nil && o.refusesClear() {
		return p, errInClear
	}
	return o.openPlan(key, p)
}

func (o *Options) openPlan(key string, p plan) (plan, error) {
	if p.Sealed == nil {
		return p, nil
	}
	if !o.sealed() {
		return p, errors.New("schedule is sealed but Options.Codec is nil")
	}
	tenant, name, _ := splitScheduleKey(key)
	args, err := o.open(sealedSchedule, p.Kind, tenant, name, p.Sealed)
	if err != nil {
		return p, err
	}
	p.Args, p.Sealed = args, nil
	return p, nil
}

// options are the CronOptions that a plan was made with.
func (p plan) options() CronOptions {
	return CronOptions{
		Zone: p.Zone, CatchUp: p.CatchUp, MaxAge: time.Duration(p.MaxAge) * time.Millisecond,
		NoOverlap: p.NoOverlap, Jitter: time.Duration(p.Jitter) * time.Millisecond,
		Priority: p.Priority, MaxAttempts: p.MaxAttempts,
	}
}

// entry makes a stored schedule workable.
func (p plan) entry(key string, known *expressions) (*entry, error) {
	_, name, _ := splitScheduleKey(key)
	return newEntry(key, name, p.Spec, planArgs{p}, p.options(), known)
}

// planArgs are the arguments of a stored schedule, whose type this process may
// not know, with the options that the type had.
type planArgs struct{ plan plan }

func (a planArgs) Kind() string                 { return a.plan.Kind }
func (a planArgs) MarshalJSON() ([]byte, error) { return a.plan.Args, nil }
func (a planArgs) JobOptions() EnqueueOptions {
	return EnqueueOptions{
		Delay: time.Duration(a.plan.Delay) * time.Millisecond, Keep: time.Duration(a.plan.Keep) * time.Millisecond,
		Key: a.plan.Key, Scope: a.plan.Scope, Window: time.Duration(a.plan.Window) * time.Millisecond,
	}
}
