package redisjobs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// Part is a job of the flows under siege.
type Part struct {
	Value int   // its result
	Want  []int // the results of the stage before
	Takes int   // milliseconds
	Fails int   // so many attempts; negative: it is discarded
}

func (Part) Kind() string { return "part" }

// Cleanup is the OnFailure job of those flows.
type Cleanup struct{}

func (Cleanup) Kind() string { return "cleanup" }

// flowWorker works on flows until it is killed. Its journal says of each job
// when it began and how it ended.
func flowWorker(mode, addr, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	j := journal{file}
	rdb := redis.NewClient(&redis.Options{Addr: addr, DialTimeout: time.Second, DialerRetries: 1})
	var d driver.Driver
	if d, err = redisjobs.New(rdb, nil); err != nil {
		return err
	}
	if mode == "careless" {
		d = flowless{careless{d}, d.(driver.Flower)}
	}
	q, err := jobs.New(d, flowOptions())
	if err != nil {
		return err
	}
	jobs.HandleResult(q, j.part)
	jobs.Handle(q, func(ctx context.Context, _ Cleanup) error {
		info, _ := jobs.InfoFrom(ctx)
		j.note("start %s %d", info.ID, now())
		j.note("end %s done %d", info.ID, now())
		return nil
	})
	for {
		err = q.Run(context.Background()) // it does not begin while Redis is away
		j.note("stopped %v", err)
		<-time.After(20 * time.Millisecond)
	}
}

// flowless is careless, and a Flower still.
type flowless struct {
	careless
	driver.Flower
}

func flowOptions() *jobs.Options {
	o := options()
	o.Concurrency, o.Lease = 4, 3*time.Second
	return o
}

// part does a Part, and says so.
func (j journal) part(ctx context.Context, p Part) (int, error) {
	info, _ := jobs.InfoFrom(ctx)
	j.note("start %s %d", info.ID, now())
	how, err := "done", error(nil)
	if p.Want != nil {
		var got []int
		if got, err = jobs.Inputs[int](ctx); err == nil && !slices.Equal(got, p.Want) {
			j.note("wrong %s got %v want %v", info.ID, got, p.Want)
		}
		if err != nil {
			j.note("end %s retried %d", info.ID, now())
			return 0, err // Redis is away: retried
		}
	}
	select {
	case <-ctx.Done():
		how, err = "stopped", context.Cause(ctx)
	case <-time.After(time.Duration(p.Takes) * time.Millisecond):
		switch {
		case p.Fails < 0:
			how, err = "failed", jobs.Discard(errors.New("told to fail"))
		case info.Attempt <= p.Fails:
			how, err = "retried", fmt.Errorf("attempt %d fails", info.Attempt)
		}
	}
	j.note("end %s %s %d", info.ID, how, now())
	return p.Value, err
}
