package redisjobs

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// priority is the digit every route begins with; it leaves room on both sides.
const priority = "1"

// Push implements driver.Driver.
func (d *Driver) Push(ctx context.Context, p driver.Push) ([]driver.Pushed, error) {
	if len(p.Jobs) == 0 {
		return nil, nil
	}
	reply, err := d.do(ctx, push, "", appendJobs(nil, p.Jobs)...)
	if err != nil {
		return nil, err
	}
	r := reader{op: "push", items: asList(reply)}
	pushed := make([]driver.Pushed, len(p.Jobs))
	for i := range pushed {
		pushed[i].Holder = r.text()
	}
	return pushed, r.err
}

// appendJobs lays jobs out as lua/part_store.lua reads them.
func appendJobs(args []any, batch []driver.Job) []any {
	for _, j := range batch {
		flag := "-"
		if j.Unique != "" {
			flag = "u"
		}
		due := ""
		switch {
		case !j.At.IsZero():
			due = strconv.FormatInt(j.At.UnixMilli(), 10)
		case j.Delay > 0:
			due = "+" + millis(j.Delay)
		}
		args = append(args, j.ID, priority+flag+j.Tenant, j.Body, due, j.Unique)
	}
	return args
}

// millis rounds up: a job is never early.
func millis(d time.Duration) string {
	return strconv.FormatInt(int64((max(d, 0)+time.Millisecond-1)/time.Millisecond), 10)
}

// Position implements driver.Positioner.
func (d *Driver) Position(ctx context.Context) (string, error) {
	cursor, err := d.rdb.Get(ctx, d.key("position", "")).Result()
	if err != nil && err != redis.Nil {
		return "", fmt.Errorf("redisjobs: position: %w", err)
	}
	return cursor, nil
}

// PushAt implements driver.Positioner.
func (d *Driver) PushAt(ctx context.Context, from, to string, batch []driver.Job) (bool, error) {
	reply, err := d.do(ctx, pushAt, "", appendJobs([]any{from, to}, batch)...)
	if err != nil {
		return false, err
	}
	r := reader{op: "pushat", items: []any{reply}}
	return r.int() == 1, r.err
}

// Fire implements driver.Driver.
func (d *Driver) Fire(ctx context.Context, t driver.Tick) (driver.Fired, error) {
	args := []any{t.Name, t.At.UnixMilli()}
	if t.Job != nil {
		args = appendJobs(args, []driver.Job{*t.Job})
	}
	reply, err := d.do(ctx, fire, "", args...)
	if err != nil {
		return driver.Fired{}, err
	}
	r := reader{op: "fire", items: asList(reply)}
	fired := driver.Fired{Fired: r.int() == 1}
	fired.Last = time.UnixMilli(r.int()).UTC()
	fired.Now = time.UnixMilli(r.int()).UTC()
	return fired, r.err
}
