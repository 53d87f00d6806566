package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// work runs a queue of the name "post" whose handler blocks once, and then fails
// twice, until the end of the test.
func work(t *testing.T, q *jobs.Queue) (release func()) {
	t.Helper()
	released, ended := make(chan struct{}), make(chan error, 1)
	jobs.Handle(q, func(ctx context.Context, m mail) error {
		if info, _ := jobs.InfoFrom(ctx); m.To == "slow" && info.Attempt < 3 {
			return jobs.Retry(errors.New("not yet\nat all"), 0)
		}
		<-released
		return errors.New("no")
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- q.Run(ctx) }()
	free := func() {
		select {
		case <-released:
		default:
			close(released)
		}
	}
	t.Cleanup(func() {
		free()
		cancel()
		require.NoError(t, <-ended)
	})
	return free
}

func TestWorkersAndTheirJobs(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	require.JSONEq(t, "[]", o.ok("workers", "-queue", "post", "-json"), "nobody works")
	_, err := o.q.Enqueue(t.Context(), mail{To: "slow"}, &jobs.EnqueueOptions{ID: "slow", MaxAttempts: 3})
	require.NoError(t, err)
	d, err := redisjobs.New(o.rdb, &redisjobs.Options{Queue: "post"})
	require.NoError(t, err)
	q, err := jobs.New(d, &jobs.Options{Name: "web-1/17", Concurrency: 2, Lease: time.Second})
	require.NoError(t, err)
	release := work(t, q)

	type worker struct {
		ID, Name, State            string
		Concurrency, Running, Held int
		Started                    time.Time
	}
	var list []worker
	require.Eventually(t, func() bool {
		list = nil
		return json.Unmarshal([]byte(o.ok("workers", "-queue", "post", "-json")), &list) == nil && len(list) == 1 && list[0].State == "working"
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, worker{list[0].ID, "web-1/17", "working", 2, 1, 1, list[0].Started}, list[0])
	require.WithinDuration(t, time.Now(), list[0].Started, time.Minute)
	require.Regexp(t, `web-1/17 +`+list[0].ID+` +working +1 of 2 +1 `, o.ok("workers", "-queue", "post"))

	type job struct {
		State, Worker string
		Started       time.Time
		Failures      []struct {
			Attempt int
			At      time.Time
			Error   string
		}
	}
	var found []job
	require.Eventually(t, func() bool {
		found = nil
		return json.Unmarshal([]byte(o.ok("job", "-queue", "post", "-json", "slow")), &found) == nil && !found[0].Started.IsZero()
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, "running", found[0].State)
	require.Equal(t, list[0].ID, found[0].Worker)
	require.Len(t, found[0].Failures, 2)
	require.Equal(t, "not yet\nat all", found[0].Failures[0].Error)
	release()
	o.settle(jobs.Stats{Dead: 3, Scheduled: 1})
	text := o.ok("job", "-queue", "post", "slow")
	require.Regexp(t, `started +20\d\d-`, text)
	require.Regexp(t, `took +\d`, text)
	require.Regexp(t, `(?s)error of attempt 3, 20.*\n  no\nerror of attempt 2, 20.*\n  not yet\n  at all\nerror of attempt 1, 20.*args`, text)
}

// settle waits until the store has so many jobs of each state.
func (o *office) settle(want jobs.Stats) {
	o.Helper()
	require.Eventually(o, func() bool {
		got, err := o.q.Stats(o.Context())
		return err == nil && got == want
	}, time.Minute, 10*time.Millisecond)
}

// TestCluster does with a Cluster what an operator does with one server.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := testenv.RedisCluster(t, 2)
	o := &office{T: t, binary: filepath.Join(t.TempDir(), "jobsctl"), url: "redis://" + c.Nodes[0].Addr + "?addr=" + c.Nodes[1].Addr}
	built, err := exec.Command("go", "build", "-o", o.binary, ".").CombinedOutput()
	require.NoError(t, err, string(built))
	names := []string{"post", "a", "b", "c"} // in slots of both masters
	for _, name := range names {
		d, err := redisjobs.New(c.Client(), &redisjobs.Options{Queue: name})
		require.NoError(t, err)
		q, err := jobs.New(d, &jobs.Options{Name: "web-1/17", MaxAttempts: 1})
		require.NoError(t, err)
		_, err = q.EnqueueMany(t.Context(), jobs.Items(mail{To: "ann"}, mail{To: "bob"}))
		require.NoError(t, err)
		if name == "post" {
			o.q = q
			work(t, q)()
		}
	}
	o.settle(jobs.Stats{Dead: 2})
	require.Equal(t, "a\nb\nc\npost\n", o.ok("queues", "-cluster"))
	for _, name := range names[1:] {
		require.Contains(t, o.ok("stats", "-cluster", "-json", "-queue", name), `"ready": 2`)
	}
	require.Contains(t, o.ok("workers", "-cluster", "-queue", "post"), "web-1/17")
	require.Contains(t, o.ok("jobs", "-cluster", "-queue", "post", "-error", "no"), "mail")
	require.Contains(t, o.ok("delete", "-cluster", "-queue", "post", "-yes", "-state", "dead", "-kind", "mail"), "2 found, 2 changed, 0 skipped")
	o.stats(jobs.Stats{})
	require.Contains(t, o.ok("pause", "-cluster", "-queue", "a"), "paused")
	require.Contains(t, o.ok("cancel", "-cluster", "-queue", "a", "-yes", "-state", "ready"), "2 changed")
}
