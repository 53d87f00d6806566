// Command jobsctl is for operators of queues in Redis (package redisjobs): it
// looks at them and changes them, without the program whose jobs they are. The
// dashboard of package jobsui does the same in a browser, and more.
//
//	export REDIS_URL=redis://:password@host:6379/0
//	go run github.com/ashlar-go/ashlar/jobs/jobsctl stats -queue default
//
// The commands are:
//
//	queues                                 the names of all queues below -prefix
//	stats                                  how many jobs are in each state
//	jobs       [FILTER] [-limit 50]        those that a filter selects; dead ones if it names no state
//	job        ID...                       all that is known of jobs
//	requeue    ID... | -state S [FILTER]   makes dead jobs ready again, and scheduled ones now
//	cancel     ID... | -state S [FILTER]   forgets jobs that wait, and stops those that run
//	delete     ID... | -state S [FILTER]   forgets dead and done jobs for ever
//	pause      [-tenant T | -kind K]       lets no more jobs start: of all, of a tenant, of a kind
//	resume     [-tenant T | -kind K]       ends that pause
//	workers                                which processes work on the queue
//	schedules  [-tenant T] [-limit 50]     what fires when
//	run-now    ID                          enqueues a job of a schedule; for the id see schedules
//	unschedule ID...                       removes schedules, but none that is in the code of a process that runs
//
// A FILTER is any of -state S, -kind K, -tenant T, -error TEXT (a part of the last
// error) and -retried (ran before). States are ready, scheduled, parked, running,
// dead and done. With a filter requeue, cancel and delete take all that match, in
// small steps; an interrupt stops them between two. Flags stand before the ids, and
// -- before an id that begins with -.
//
// All commands take -queue NAME (default), -prefix NAME (jobs), -cluster (the URL is that
// of a Redis Cluster) and -json (one JSON value in place of a table). What
// changes or removes jobs or schedules asks first, unless there is -yes.
//
// The environment variable REDIS_URL names the server, with redis:// or
// rediss://; it is never printed. The exit code is 0 if all was done, 1 if something
// failed, does not exist or was declined, and 2 for a command that makes no sense.
//
// Whoever can reach Redis can do all this: there are no tenants or permissions
// here. Arguments are shown as they are stored; sealed ones stay sealed.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once
	//archtest:allow env a command's secrets come from the environment: arguments are seen by everybody on the machine
	os.Exit(run(ctx, os.Args[1:], os.Getenv("REDIS_URL"), os.Stdin, os.Stdout, os.Stderr))
}

// usageError is a command that makes no sense: exit code 2.
type usageError string

func (e usageError) Error() string { return string(e) }

// call is one call of the command.
type call struct {
	queue, prefix      string
	cluster, json, yes bool
	limit              int
	filter             jobs.Filter
	state              string
	ids                []string

	rdb      redis.UniversalClient
	q        *jobs.Queue
	in       io.Reader
	out, err io.Writer
}

// command is what a name stands for.
type command struct {
	flags  string // those it takes beside the common ones
	ids    int    // how many it takes: -1 any, 1 exactly one
	states string // those of jobs that it is for; empty: all
	run    func(ctx context.Context, c *call) error
}

const filterFlags = "state kind tenant error retried"

func commands() map[string]command {
	return map[string]command{
		"queues":     {run: showQueues},
		"stats":      {run: showStats},
		"jobs":       {flags: filterFlags + " limit", run: showJobs},
		"job":        {ids: -1, run: showJob},
		"requeue":    {flags: filterFlags, ids: -1, states: "dead scheduled", run: resolve("requeue", (*jobs.Queue).Requeue, (*jobs.Queue).RequeueAll)},
		"cancel":     {flags: filterFlags, ids: -1, states: "ready scheduled parked running", run: resolve("cancel", (*jobs.Queue).Cancel, (*jobs.Queue).CancelAll)},
		"delete":     {flags: filterFlags, ids: -1, states: "dead done", run: resolve("delete", (*jobs.Queue).Delete, (*jobs.Queue).DeleteAll)},
		"pause":      {flags: "tenant kind", run: control("paused", (*jobs.Queue).Pause)},
		"resume":     {flags: "tenant kind", run: control("resumed", (*jobs.Queue).Resume)},
		"workers":    {run: showWorkers},
		"schedules":  {flags: "tenant limit", run: showSchedules},
		"run-now":    {ids: 1, run: runNow},
		"unschedule": {ids: -1, run: unschedule},
	}
}

// run is main with its surroundings.
func run(ctx context.Context, args []string, redisURL string, in io.Reader, out, errs io.Writer) int {
	c := &call{in: in, out: out, err: errs}
	err := c.do(ctx, args, redisURL)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		_, _ = fmt.Fprintln(errs, "jobsctl:", err)
		return 2
	}
	_, _ = fmt.Fprintln(errs, "jobsctl:", err)
	return 1
}

func (c *call) do(ctx context.Context, args []string, redisURL string) error {
	all := commands()
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || all[args[0]].run == nil {
		names := make([]string, 0, len(all))
		for name := range all {
			names = append(names, name)
		}
		slices.Sort(names)
		return usageError("want a command, one of: " + strings.Join(names, ", "))
	}
	name, cmd := args[0], all[args[0]]
	if err := c.parse(name, cmd, args[1:]); err != nil {
		return err
	}
	if err := c.connect(redisURL); err != nil {
		return err
	}
	defer func() { _ = c.rdb.Close() }()
	return cmd.run(ctx, c)
}

// parse reads the flags and refuses those that would be passed over: a filter
// beside ids must not be taken for one.
func (c *call) parse(name string, cmd command, args []string) error {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.queue, "queue", "", "")
	fs.StringVar(&c.prefix, "prefix", "", "")
	fs.BoolVar(&c.cluster, "cluster", false, "")
	fs.BoolVar(&c.json, "json", false, "")
	fs.BoolVar(&c.yes, "yes", false, "")
	fs.IntVar(&c.limit, "limit", 50, "")
	fs.StringVar(&c.state, "state", "", "")
	fs.StringVar(&c.filter.Kind, "kind", "", "")
	fs.StringVar(&c.filter.Tenant, "tenant", "", "")
	fs.StringVar(&c.filter.Error, "error", "", "")
	fs.BoolVar(&c.filter.Retried, "retried", false, "")
	if err := fs.Parse(args); err != nil {
		return usageError(name + ": " + err.Error())
	}
	c.ids, c.filter.State = fs.Args(), jobs.State(c.state)
	wrong, empty, filters := "", "", 0
	fs.Visit(func(f *flag.Flag) {
		if f.Value.String() == "" {
			empty = f.Name // often an unset variable of a shell; for us it would mean all
		}
		if slices.Contains(strings.Fields(filterFlags), f.Name) {
			filters++
		}
		if !slices.Contains(strings.Fields("queue prefix cluster json yes "+cmd.flags), f.Name) {
			wrong = f.Name
		}
	})
	states := strings.Fields(cmp.Or(cmd.states, "ready scheduled parked running dead done"))
	byFilter := cmd.flags == filterFlags
	late := slices.IndexFunc(c.ids, func(id string) bool { return strings.HasPrefix(id, "-") })
	switch {
	case wrong != "":
		return usageError(name + " takes no -" + wrong)
	case empty != "":
		return usageError("-" + empty + " is empty; leave it out if that is meant")
	case c.state != "" && !slices.Contains(states, c.state):
		return usageError(fmt.Sprintf("%s is for the states %s, not for %q", name, strings.Join(states, ", "), c.state))
	case c.limit < 1:
		return usageError("-limit is at least 1")
	case late >= 0 && !slices.Contains(args, "--"):
		return usageError(fmt.Sprintf("%q is no id; flags stand before the ids", c.ids[late]))
	case cmd.ids == 0 && len(c.ids) > 0:
		return usageError(fmt.Sprintf("%s takes no %q; flags begin with -", name, c.ids[0]))
	case cmd.ids == 1 && len(c.ids) != 1:
		return usageError(name + " takes one id")
	case byFilter && len(c.ids) > 0 && filters > 0:
		return usageError(name + " takes ids or a filter, not both")
	case byFilter && len(c.ids) == 0 && c.state == "":
		return usageError(name + " wants ids, or a filter with -state")
	case cmd.ids == -1 && !byFilter && len(c.ids) == 0:
		return usageError(name + " wants an id")
	case name != "jobs" && !byFilter && c.filter.Tenant != "" && c.filter.Kind != "":
		return usageError(name + " takes -tenant or -kind, not both")
	}
	return nil
}

// connect makes the clients; nothing is sent yet. The URL stays out of errors:
// it may have a password.
func (c *call) connect(redisURL string) error {
	bad := usageError("the environment variable REDIS_URL is no URL like redis://host:6379/0 or rediss://…")
	if redisURL == "" {
		return usageError("the environment variable REDIS_URL is not set")
	}
	if c.cluster {
		o, err := redis.ParseClusterURL(redisURL)
		if err != nil {
			return bad
		}
		c.rdb = redis.NewClusterClient(o)
	} else {
		o, err := redis.ParseURL(redisURL)
		if err != nil {
			return bad
		}
		c.rdb = redis.NewClient(o)
	}
	d, err := redisjobs.New(c.rdb, &redisjobs.Options{Queue: c.queue, Prefix: c.prefix})
	if err == nil {
		c.q, err = jobs.New(d, nil)
	}
	if err != nil {
		return usageError(err.Error())
	}
	return nil
}

// sure asks before something is changed.
func (c *call) sure(ctx context.Context, question string) error {
	if c.yes {
		return nil
	}
	_, _ = fmt.Fprintf(c.err, "queue %q: %s [y/N] ", cmp.Or(c.queue, "default"), question)
	answers := make(chan string, 1)
	go func() { // a read does not end with the context: after an interrupt it ends with the process
		line, _ := bufio.NewReader(c.in).ReadString('\n')
		answers <- line
	}()
	line := ""
	select {
	case line = <-answers:
	case <-ctx.Done():
	}
	if line == "" {
		_, _ = fmt.Fprintln(c.err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" || ctx.Err() != nil {
		return errors.New("nothing was changed; -yes goes without the question")
	}
	return nil
}

type (
	byIDs    func(q *jobs.Queue, ctx context.Context, ids ...string) (int, error)
	byFilter func(q *jobs.Queue, ctx context.Context, f jobs.Filter, opts *jobs.BulkOptions) (jobs.Bulk, error)
)

// resolve requeues, cancels or deletes.
func resolve(name string, some byIDs, all byFilter) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		if len(c.ids) > 0 {
			if err := c.sure(ctx, fmt.Sprintf("%s %d by id?", name, len(c.ids))); err != nil {
				return err
			}
			n, err := some(c.q, ctx, c.ids...)
			if err == nil && n < len(c.ids) {
				err = fmt.Errorf("%d of %d ids are of no job that can be: %s", len(c.ids)-n, len(c.ids), name)
			}
			return errors.Join(c.print(bulkView{len(c.ids), n, len(c.ids) - n}), err)
		}
		n, err := c.q.Count(ctx, c.filter)
		if err != nil {
			return err
		}
		if err := c.sure(ctx, fmt.Sprintf("%s %d jobs that are %s%s?", name, n, c.state, said(c.filter))); err != nil {
			return err
		}
		b, err := all(c.q, ctx, c.filter, nil)
		if err != nil && b.Found == 0 {
			return err // a state that it is not for, or no answer
		}
		return errors.Join(c.print(bulkView(b)), err)
	}
}

// control pauses or resumes.
func control(done string, change func(*jobs.Queue, context.Context, jobs.Target) error) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		t := jobs.Target{Tenant: c.filter.Tenant, Kind: c.filter.Kind}
		t.Queue = t == jobs.Target{}
		if err := change(c.q, ctx, t); err != nil {
			return err
		}
		return c.print(doneView{Done: done})
	}
}

func runNow(ctx context.Context, c *call) error {
	r, err := c.q.RunNow(ctx, c.ids[0])
	if err != nil {
		return err
	}
	if r.Duplicate {
		return c.print(doneView{Done: "not enqueued, the earlier job is unfinished", Job: r.ID})
	}
	return c.print(doneView{Done: "enqueued", Job: r.ID})
}

func unschedule(ctx context.Context, c *call) error {
	if err := c.sure(ctx, fmt.Sprintf("remove %d schedules?", len(c.ids))); err != nil {
		return err
	}
	n, err := c.q.Unschedule(ctx, c.ids...)
	if err == nil && n < len(c.ids) {
		err = fmt.Errorf("%d of %d: %w", len(c.ids)-n, len(c.ids), jobs.ErrNoSchedule)
	}
	return errors.Join(c.print(bulkView{len(c.ids), n, len(c.ids) - n}), err)
}
