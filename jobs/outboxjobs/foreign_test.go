package outboxjobs_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// The statement in docs/envelope.md enqueues a job without this package.
func TestJobsFromAnotherLanguage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/envelope.md")
	require.NoError(t, err)
	statement := regexp.MustCompile("(?s)```sql\n(.*?)\n```").FindStringSubmatch(string(page))
	require.NotNil(t, statement)

	b := open(t)
	require.NoError(t, b.db.Do(tenancy.WithID(t.Context(), "acme"), func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, statement[1])
		return err
	}))
	defer b.start(b.relay(b.sink()).Run)()
	defer b.start(b.q.Run)()
	b.ran(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Equal(t, "acme", b.runs[42][0].Tenant)
}

// Whoever may write an event of one tenant, by SQL that they injected, gets no job of another
// tenant through it: each of these stops the queue, or is left to Drop.
func TestForgedJobsAreRefused(t *testing.T) {
	t.Parallel()
	genuine, err := jobs.NewJob("acme", count{N: 1}, &jobs.EnqueueOptions{Key: "k"}, -1)
	require.NoError(t, err)
	foreign, err := jobs.NewJob("globex", count{N: 1}, &jobs.EnqueueOptions{Key: "k"}, -1)
	require.NoError(t, err)
	deliver := func(kind string, job driver.Job, opts *outboxjobs.Options) (error, int) {
		store := jobstest.NewDriver()
		sink, err := outboxjobs.NewSink(store, opts)
		require.NoError(t, err)
		payload, err := json.Marshal(map[string]any{"kind": kind, "job": job})
		require.NoError(t, err)
		_, err = sink.Deliver(t.Context(), "", "p1", []outbox.Event{{ID: "e1", Tenant: "acme", Type: "ashlar.job", Payload: payload}})
		stats, statsErr := store.Stats(t.Context())
		require.NoError(t, statsErr)
		return err, stats.Ready + stats.Scheduled + stats.Parked + stats.Running + stats.Dead + stats.Done
	}
	refused := func(kind string, job driver.Job, name string) {
		err, stored := deliver(kind, job, nil)
		require.Error(t, err, name)
		require.Zero(t, stored, name)
		err, stored = deliver(kind, job, &outboxjobs.Options{Drop: func(e outbox.Event, err error) bool { return e.ID == "e1" && err != nil }})
		require.NoError(t, err, "%s: Drop lets the queue go on", name)
		require.Zero(t, stored, "%s: without the job", name)
	}
	err, stored := deliver("count", genuine, nil)
	require.NoError(t, err)
	require.Equal(t, 1, stored)

	for name, forge := range map[string]func(*driver.Job){
		"another tenant's job":  func(j *driver.Job) { *j = foreign },
		"another tenant's body": func(j *driver.Job) { j.Body = foreign.Body },
		"another tenant's turn": func(j *driver.Job) { j.Tenant = "globex" },
		"another tenant's key":  func(j *driver.Job) { j.Unique = foreign.Unique },
		"a key of nobody's":     func(j *driver.Job) { j.Unique = "k" },
		"a body of no tenant":   func(j *driver.Job) { j.Body = []byte(strings.Replace(string(j.Body), `"tenant":"acme",`, "", 1)) },
		"a tenant twice": func(j *driver.Job) {
			j.Body = []byte(strings.Replace(string(j.Body), `"args"`, `"tenant":"globex","args"`, 1))
		},
		"another kind":                func(j *driver.Job) { j.Kind = "other" },
		"a body that is none":         func(j *driver.Job) { j.Body = []byte("{") },
		"a name that no job may have": func(j *driver.Job) { j.ID = "a b" },
	} {
		job := genuine
		forge(&job)
		refused("count", job, name)
	}
	refused("other", genuine, "announced as another kind")
}
