package redisjobs

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Workers implements driver.Overseer.
func (d *Driver) Workers(ctx context.Context) ([]driver.Worker, error) {
	r, err := d.do(ctx, workers, "", driver.MaxWorkers)
	if err != nil {
		return nil, err
	}
	var list []driver.Worker
	now := scoreTime(r.text())
	for len(r.items) > 0 && r.err == nil {
		id, end := r.text(), scoreTime(r.text())
		list = append(list, readWorker(id, end, now, r.text()))
	}
	return list, r.err
}

// readWorker reads "<ms of the lease> <held> <about>", which lua/beat.lua writes.
// One of an earlier version has nothing.
func readWorker(id string, end, now time.Time, note string) driver.Worker {
	w := driver.Worker{ID: id, Left: end.Sub(now)}
	lease, rest, _ := strings.Cut(note, " ")
	held, about, found := strings.Cut(rest, " ")
	ms, err := strconv.ParseInt(lease, 10, 64)
	if err != nil || !found {
		return w
	}
	w.Lease = time.Duration(ms) * time.Millisecond
	w.Beat = end.Add(-w.Lease)
	w.Held, _ = strconv.Atoi(held) // written as digits
	if about != "" {
		w.About = []byte(about)
	}
	return w
}
