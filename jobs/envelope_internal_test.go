package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type letter struct{ To string }

func (letter) Kind() string { return "letter" }

func (letter) JobOptions() EnqueueOptions {
	return EnqueueOptions{MaxAttempts: 3, Delay: time.Minute, Key: "k", Scope: UniqueFor, Window: time.Hour, Priority: PriorityLow, Keep: time.Second}
}

// What the quick paths write and read is what encoding/json would.
func FuzzEnvelope(f *testing.F) {
	f.Add("invoice.send", "acme", 20, int64(0), `{"to":"ann"}`)
	f.Add("a", "ä\"\\ \x01", 0, int64(7), `[1,2,{"x":"}"}]`)
	f.Add("a", "", 1_000_000_000, int64(1), `null`)
	f.Fuzz(func(t *testing.T, kind, tenant string, most int, keep int64, args string) {
		if checkName("kind", kind) != nil || !json.Valid([]byte(args)) || most < 0 {
			return
		}
		compact, err := json.Marshal(json.RawMessage(args))
		require.NoError(t, err)
		in := envelope{Version: 1, Kind: kind, Tenant: tenant, MaxAttempts: most, Keep: keep, Args: compact}
		want, err := json.Marshal(in)
		require.NoError(t, err)
		require.Equal(t, string(want), string(in.encode()))
		var slow envelope
		require.NoError(t, json.Unmarshal(want, &slow))
		got, err := decode(want)
		require.NoError(t, err)
		require.Equal(t, slow, got)
	})
}

// Whatever is stored: the quick path answers what the slow one does, or leaves
// it to it.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{"v":1,"kind":"a","args":{}}`, `{"v":1,"kind":"a","tenant":"t","max":3,"args":{"x":[]}}`,
		`{"v":1,"kind":"a","args":{},"args":{}}`, `{"v":1,"kind":"a","args":{}}}`, `{"v":1,"kind":"","args":{}}`,
		`{"v":1,"kind":"a","max":01,"args":{}}`, `{"v":1,"kind":"a","tenant":"\u0061","args":{}}`, `{"v":1,"kind":"a","max":}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := scan(body)
		if !ok {
			return
		}
		var slow envelope
		require.NoError(t, json.Unmarshal(body, &slow), "%q", body)
		got.Args = bytes.TrimSpace(got.Args) // blanks around arguments mean nothing
		require.Equal(t, slow, got, "%q", body)
	})
}

func TestOptionsBesideTheType(t *testing.T) {
	var o *Options
	job, err := o.newJob(context.Background(), letter{}, nil)
	require.NoError(t, err)
	require.Equal(t, time.Minute, job.Delay)
	require.Equal(t, PriorityLow, job.Priority)
	require.Equal(t, UniqueFor, job.Scope)
	require.Equal(t, time.Hour, job.Window)
	env, err := decode(job.Body)
	require.NoError(t, err)
	require.Equal(t, 3, env.MaxAttempts)
	require.EqualValues(t, 1000, env.Keep)
	require.NotZero(t, env.Due)

	at := time.Now().Add(time.Hour)
	job, err = o.newJob(context.Background(), letter{}, &EnqueueOptions{At: at, MaxAttempts: 9, Key: "mine", Priority: PriorityHigh, ID: "x"})
	require.NoError(t, err)
	require.Zero(t, job.Delay, "At takes the place of Delay")
	require.True(t, at.Equal(job.At))
	require.Equal(t, "0:letter mine", job.Unique)
	require.Equal(t, UniqueFor, job.Scope, "the policy is the type's")
	require.Equal(t, time.Hour, job.Window)
	require.Equal(t, PriorityHigh, job.Priority)
	require.Equal(t, "x", job.ID)
}

type policy struct{ opts EnqueueOptions }

func (policy) Kind() string                 { return "policy" }
func (p policy) JobOptions() EnqueueOptions { return p.opts }

// The policy of uniqueness may be the type's, the caller's or of both.
func TestUniquePolicyOfTypeAndCaller(t *testing.T) {
	unique := func(key string, scope UniqueScope, window time.Duration) EnqueueOptions {
		return EnqueueOptions{Key: key, Scope: scope, Window: window}
	}
	for _, c := range []struct {
		name                string
		ofType, given, want EnqueueOptions
		err                 string
	}{
		{name: "neither"},
		{"type's all", unique("k", UniqueFor, 5), unique("", "", 0), unique("k", UniqueFor, 5), ""},
		{"caller's all", unique("", "", 0), unique("k", UniqueFor, 5), unique("k", UniqueFor, 5), ""},
		{"caller's key", unique("", UniqueFor, 5), unique("k", "", 0), unique("k", UniqueFor, 5), ""},
		{"caller's other key", unique("k", Replace, 0), unique("other", "", 0), unique("other", Replace, 0), ""},
		{"caller's scope", unique("k", UntilStarted, 0), unique("", Replace, 0), unique("k", Replace, 0), ""},
		{"caller's window", unique("k", UniqueFor, 5), unique("", "", 7), unique("k", UniqueFor, 7), ""},
		{"caller's scope and window", unique("k", "", 0), unique("", UniqueFor, 5), unique("k", UniqueFor, 5), ""},
		{"caller's scope without the type's window", unique("k", UniqueFor, 5), unique("", Replace, 0), unique("k", Replace, 0), ""},
		{"same scope, type's window", unique("", UniqueFor, 5), unique("k", UniqueFor, 0), unique("k", UniqueFor, 5), ""},
		{"type's scope and no key", unique("", Replace, 0), unique("", "", 0), unique("", "", 0), ""},
		{"type's window and no key", unique("", UniqueFor, 5), unique("", "", 0), unique("", "", 0), ""},
		{"caller's scope and no key", unique("", UniqueFor, 5), unique("", Replace, 0), unique("", "", 0), "Scope needs a Key"},
		{"caller's window and no key", unique("", UniqueFor, 5), unique("", "", 5), unique("", "", 0), "Window goes with"},
		{"caller's window, type's other scope", unique("k", Replace, 0), unique("", "", 5), unique("", "", 0), "Window goes with"},
		{"a scope of both that needs a window", unique("", UniqueFor, 0), unique("k", "", 0), unique("", "", 0), "and only with it"},
	} {
		var o *Options
		job, err := o.newJob(context.Background(), policy{c.ofType}, &c.given)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		key := ""
		if c.want.Key != "" {
			key = "0:policy " + c.want.Key
		}
		require.Equal(t, unique(key, c.want.Scope, c.want.Window), unique(job.Unique, job.Scope, job.Window), c.name)
	}
}

func TestEnqueueOptionsThatMakeNoSense(t *testing.T) {
	for text, opts := range map[string]EnqueueOptions{
		"Keep is negative":      {Keep: -1},
		"Priority 7 is unknown": {Priority: 7},
		`Scope "x" is unknown`:  {Key: "k", Scope: "x"},
		"Scope needs a Key":     {Scope: Replace},
		"Window goes with":      {Key: "k", Window: time.Second},
		"and only with it":      {Key: "k", Scope: UniqueFor},
	} {
		require.ErrorContains(t, opts.check(), text)
	}
}

func TestIDHasItsTime(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	at, ok := idTime(newID())
	require.True(t, ok)
	require.False(t, at.Before(before))
	require.Less(t, at.Sub(before), time.Minute)
	for _, id := range []string{"", "monthly@123", "!!!!!!!!!!AAAAAAAAAAAAAAAA"} {
		_, ok := idTime(id)
		require.False(t, ok, id)
	}
}

// A handler's context is made late and must not differ from one made at once.
func TestAttemptIsAContext(t *testing.T) {
	base, end := context.WithCancelCause(context.WithValue(context.Background(), attemptKey{}, "base's"))
	type key struct{}
	a := &attempt{base: context.WithValue(base, key{}, "value")}
	a.begin(time.Hour)
	require.Equal(t, "value", a.Value(key{}))
	require.Same(t, a, a.Value(attemptKey{}))
	deadline, ok := a.Deadline()
	require.True(t, ok)
	require.Less(t, time.Until(deadline), time.Hour+time.Second)
	require.NoError(t, a.Err())
	child, cancel := context.WithTimeout(a, time.Minute)
	defer cancel()
	end(ErrShutdown)
	<-child.Done()
	require.Equal(t, ErrShutdown, context.Cause(child))
	require.Equal(t, ErrShutdown, a.ended(time.Now()))

	late := &attempt{base: context.Background()}
	late.begin(0)
	late.stop(ErrCancelled)
	require.Equal(t, ErrCancelled, context.Cause(late), "cancelled before anybody asked")
	_, ok = late.Deadline()
	require.False(t, ok)

	over := &attempt{base: context.Background()}
	over.begin(0)
	over.finish()
	require.ErrorIs(t, over.Err(), context.Canceled, "a context outlives its handler as one that has ended")
}
