package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

type mail struct {
	To string `json:"to"`
}

func (mail) Kind() string { return "mail" }

// office is a queue "post" with two dead jobs of other errors, one scheduled one
// and a schedule, the binary, and a server that only it uses.
type office struct {
	*testing.T
	binary, url string
	rdb         *redis.Client
	q           *jobs.Queue
}

func newOffice(t *testing.T) *office {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "jobsctl")
	built, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(built))
	server := testenv.RedisServer(t)
	rdb := server.Client()
	require.NoError(t, rdb.Do(t.Context(), "ACL", "SETUSER", "ops", "on", ">se:cret%", "~*", "&*", "+@all").Err())
	d, err := redisjobs.New(rdb, &redisjobs.Options{Queue: "post"})
	require.NoError(t, err)
	q, err := jobs.New(d, &jobs.Options{MaxAttempts: 1, Concurrency: 1})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	for _, id := range []string{"ann", "bob"} {
		_, err = q.Enqueue(t.Context(), mail{To: id}, &jobs.EnqueueOptions{ID: id})
		require.NoError(t, err)
	}
	n := 0
	jobs.Handle(q, func(_ context.Context, m mail) error {
		if n++; n == 2 {
			cancel()
		}
		return errors.New("no box \x1b[31mfor " + m.To)
	})
	require.NoError(t, q.Run(ctx))
	_, err = q.Enqueue(t.Context(), mail{To: "eve"}, &jobs.EnqueueOptions{ID: "eve", Delay: time.Hour})
	require.NoError(t, err)
	require.NoError(t, q.Schedule(t.Context(), "digest", "@daily", mail{To: "all"}, nil))
	return &office{T: t, binary: binary, url: "redis://ops:se%3Acret%25@" + server.Addr, rdb: rdb, q: q}
}

// run answers what the command prints, and its exit code. What it prints never
// has the password.
func (o *office) run(stdin string, args ...string) (out, errs string, code int) {
	o.Helper()
	cmd := exec.CommandContext(o.Context(), o.binary, args...)
	cmd.Env = []string{"REDIS_URL=" + o.url}
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(o, err)
	}
	out, errs = stdout.String(), stderr.String()
	for _, secret := range []string{"se%3A", "se:cret", "\x1b"} {
		require.NotContains(o, out+errs, secret, "%v", args)
	}
	return out, errs, cmd.ProcessState.ExitCode()
}

// ok is run for a command that must work.
func (o *office) ok(args ...string) string {
	o.Helper()
	out, errs, code := o.run("", args...)
	require.Zero(o, code, "%v: %s", args, errs)
	return out
}

func (o *office) stats(want jobs.Stats) {
	o.Helper()
	got, err := o.q.Stats(o.Context())
	require.NoError(o, err)
	require.Equal(o, want, got)
}

func TestOperatorsDay(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	require.Equal(t, "post\n", o.ok("queues"))
	var stats map[string]int
	require.NoError(t, json.Unmarshal([]byte(o.ok("stats", "-queue", "post", "-json")), &stats))
	require.Equal(t, map[string]int{"ready": 0, "scheduled": 1, "parked": 0, "running": 0, "dead": 2, "done": 0}, stats)

	list := o.ok("jobs", "-queue", "post", "-error", "for ann")
	require.Contains(t, list, "ann")
	require.NotContains(t, list, "bob")
	var page []map[string]any
	require.NoError(t, json.Unmarshal([]byte(o.ok("jobs", "-queue", "post", "-json", "-limit", "1", "-state", "scheduled")), &page))
	require.Len(t, page, 1)
	require.Equal(t, "eve", page[0]["id"])
	require.Contains(t, o.ok("job", "-queue", "post", "bob"), `{"to":"bob"}`)
	_, errs, code := o.run("", "job", "-queue", "post", "bob", "none")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "1 of 2 jobs do not exist")

	for _, answer := range []string{"", "n\n", "nonsense\n"} { // it asks, and takes nothing else for a yes
		_, errs, code = o.run(answer, "requeue", "-queue", "post", "-state", "dead", "-error", "for ann")
		require.Equal(t, 1, code)
		require.Contains(t, errs, `queue "post": requeue 1 jobs that are dead, with an error that has "for ann"? [y/N]`)
		o.stats(jobs.Stats{Dead: 2, Scheduled: 1})
	}
	out, _, code := o.run("y\n", "requeue", "-queue", "post", "-state", "dead", "-error", "for ann")
	require.Zero(t, code)
	require.Equal(t, "1 found, 1 changed, 0 skipped\n", out)
	o.stats(jobs.Stats{Ready: 1, Dead: 1, Scheduled: 1})
	require.JSONEq(t, `{"found":1,"changed":1,"skipped":0}`, o.ok("cancel", "-queue", "post", "-yes", "-json", "-state", "ready", "-kind", "mail"))
	require.Contains(t, o.ok("delete", "-queue", "post", "-yes", "bob"), "1 changed")
	_, errs, code = o.run("", "delete", "-queue", "post", "-yes", "eve")
	require.Equal(t, 1, code, "a scheduled job is not deleted")
	require.Contains(t, errs, "1 of 1 ids")
	o.stats(jobs.Stats{Scheduled: 1})

	o.ok("pause", "-queue", "post", "-tenant", "acme")
	o.ok("pause", "-queue", "post")
	control, err := o.q.Control(t.Context())
	require.NoError(t, err)
	require.True(t, control.Paused)
	require.Equal(t, []string{"acme"}, control.PausedTenants)
	o.ok("resume", "-queue", "post")

	require.Contains(t, o.ok("schedules", "-queue", "post"), `" digest"`)
	require.Contains(t, o.ok("run-now", "-queue", "post", " digest"), "enqueued ")
	o.stats(jobs.Stats{Scheduled: 1, Ready: 1})
	require.Contains(t, o.ok("unschedule", "-queue", "post", "-yes", " digest"), "1 changed")
	_, errs, code = o.run("", "unschedule", "-queue", "post", "-yes", "--", "-digest")
	require.Equal(t, 1, code, "an id may begin with -")
	require.Contains(t, errs, "no such schedule")
	_, errs, code = o.run("", "run-now", "-queue", "post", " digest")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "no such schedule")
}

func TestBadInputIsOneSentence(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	good := o.url
	for _, args := range [][]string{
		{}, {"-json"}, {"nonsense"}, {"stats", "-nonsense"}, {"stats", "extra"}, {"jobs", "-state", "nonsense"}, {"jobs", "-limit", "0"},
		{"delete"}, {"delete", "-kind", "mail"}, {"delete", "-yes", "-state", "ready"}, {"cancel", "-yes", "-state", "dead"}, {"delete", "-state", "dead", "bob"}, {"delete", "-tenant", "acme", "bob"},
		{"stats", "-tenant", "acme"}, {"run-now"}, {"run-now", "a", "b"}, {"unschedule"}, {"job"},
		{"pause", "-tenant", "a", "-kind", "b"}, {"pause", "mail"}, {"stats", "-queue", "{x}"},
		{"delete", "-yes", "-queue", "post", "-state", "dead", "-tenant", ""}, {"delete", "-yes", "-queue", "", "-state", "dead"}, {"pause", "-queue", "post", "-tenant", ""},
		{"delete", "-yes", "bob", "-queue", "post"}, {"delete", "-yes", "-queue", "post", "bob", "-kind=mail"}, {"job", "bob", "-json"},
		{"unschedule", "-yes", " digest", "-queue", "post"}, {"run-now", "-digest"},
	} {
		out, errs, code := o.run("", args...)
		require.Equal(t, 2, code, "%v: %s", args, errs)
		require.Empty(t, out, args)
		require.Equal(t, 1, strings.Count(errs, "\n"), "%v: %s", args, errs)
	}
	for _, url := range []string{"", "se:cret@nowhere", "http://ops:se%3Acret%25@localhost", "redis://ops:se%3Acret%25@host:port\x7f"} {
		o.url = url
		_, errs, code := o.run("", "stats")
		require.Equal(t, 2, code, errs)
		require.Contains(t, errs, "REDIS_URL")
	}
	o.url = strings.Replace(good, "se%3A", "se%3Ano", 1)
	_, errs, code := o.run("", "stats")
	require.Equal(t, 1, code, "a wrong password is no bad command")
	require.Contains(t, errs, "WRONGPASS")
	o.url = good
	o.stats(jobs.Stats{Dead: 2, Scheduled: 1})
	control, err := o.q.Control(t.Context())
	require.NoError(t, err)
	require.False(t, control.Paused)
	require.Equal(t, "[]\n", o.ok("queues", "-json", "-prefix", "none*"))
}

// TestInterruptAtTheQuestion: nobody has to answer before it ends.
func TestInterruptAtTheQuestion(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.binary, "delete", "-queue", "post", "-state", "dead")
	cmd.Env = []string{"REDIS_URL=" + o.url}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer func() { _ = stdin.Close() }()
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := bufio.NewReader(stderr)
	_, err = said.ReadString(']')
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(said)
	require.NoError(t, err)
	_ = cmd.Wait()
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
	require.Contains(t, string(rest), "nothing was changed")
	o.stats(jobs.Stats{Dead: 2, Scheduled: 1})
}
