package redisjobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Push implements driver.Driver.
func (d *Driver) Push(ctx context.Context, p driver.Push) ([]driver.Pushed, error) {
	if len(p.Jobs) == 0 {
		return nil, nil
	}
	if err := bounded("push", len(p.Jobs)); err != nil {
		return nil, err
	}
	if p.MaxDepth == 0 && allPlain(p.Jobs) {
		return d.pushPlain(ctx, p.Jobs)
	}
	args := make([]any, 0, 1+5*len(p.Jobs))
	args, err := appendJobs(append(args, p.MaxDepth), p.Jobs)
	if err != nil {
		return nil, fmt.Errorf("redisjobs: push: %w", err)
	}
	r, err := d.do(ctx, push, "", args...)
	if err != nil {
		return nil, err
	}
	if r.text() == "full" {
		return nil, fmt.Errorf("redisjobs: push: %w", driver.ErrQueueFull)
	}
	pushed := make([]driver.Pushed, len(p.Jobs))
	for i := range pushed {
		pushed[i] = readPushed(r.text())
	}
	return pushed, r.err
}

// readPushed reads an answer of lua/part_store.lua.
func readPushed(text string) (p driver.Pushed) {
	if text == "=" {
		return driver.Pushed{Taken: true}
	}
	p.Holder, p.Replaced = strings.CutPrefix(text, "!")
	return p
}

// plainPushed reads the answer for n jobs of pushOne and pushPlain. It is an
// error of the script if ids are taken, so that it costs nothing if none is.
func plainPushed(n int, err error) ([]driver.Pushed, error) {
	pushed := make([]driver.Pushed, n)
	if err == nil {
		return pushed, nil
	}
	var refused redis.Error
	if !errors.As(err, &refused) || !redis.HasErrorPrefix(refused, "TAKEN") {
		return nil, err
	}
	for _, text := range strings.Fields(refused.Error())[1:] {
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 || i >= n {
			return nil, fmt.Errorf("redisjobs: push: unexpected answer %q", refused.Error())
		}
		pushed[i].Taken = true
	}
	return pushed, nil
}

// allPlain tells whether all the jobs are due now and have no unique key.
func allPlain(batch []driver.Job) bool {
	return !slices.ContainsFunc(batch, func(j driver.Job) bool {
		return j.Unique != "" || j.Delay > 0 || !j.At.IsZero()
	})
}

// bounded refuses what no caller may ask for, before a script gives up half-way.
func bounded(op string, n int) error {
	if n > driver.MaxBatch {
		return fmt.Errorf("redisjobs: %s: %d at a time, the limit is %d", op, n, driver.MaxBatch)
	}
	return nil
}

// paged refuses a page that is none: what Redis makes of it differs by command.
func paged(op string, offset, limit int) error {
	if offset < 0 || limit < 1 || limit > driver.MaxBatch {
		return fmt.Errorf("redisjobs: %s: want a limit of 1 to %d and an offset of at least 0", op, driver.MaxBatch)
	}
	return nil
}

// pushPlain stores the common kind of jobs at less expense.
func (d *Driver) pushPlain(ctx context.Context, batch []driver.Job) ([]driver.Pushed, error) {
	args, room := make([]any, 0, 4+2*len(batch)), roomFor(batch)
	for first := 0; first < len(batch); {
		head, n := &batch[first], 1
		for first+n < len(batch) && batch[first+n].Tenant == head.Tenant && batch[first+n].Priority == head.Priority {
			n++
		}
		if err := checkTenant(head); err != nil {
			return nil, fmt.Errorf("redisjobs: push: %w", err)
		}
		place := string(priorityDigit(head)) + head.Tenant
		if len(batch) == 1 {
			return plainPushed(1, d.tell(ctx, pushOne, append(args, place, &head.ID, room.stored(head))...))
		}
		args = append(args, place, n)
		for i := first; i < first+n; i++ {
			args = append(args, &batch[i].ID, room.stored(&batch[i]))
		}
		first += n
	}
	return plainPushed(len(batch), d.tell(ctx, pushPlain, args...))
}

// checkTenant refuses a length that the three digits of a route cannot say.
func checkTenant(j *driver.Job) error {
	if len(j.Tenant) > driver.MaxTenant {
		return fmt.Errorf("job %s: tenant is longer than %d bytes", j.ID, driver.MaxTenant)
	}
	return nil
}

// priorityDigit is 0 for the most urgent.
func priorityDigit(j *driver.Job) byte {
	return '2' - byte(min(max(j.Priority, driver.PriorityLow), driver.PriorityUrgent))
}

// appendJobs lays jobs out as lua/part_store.lua reads them.
func appendJobs(args []any, batch []driver.Job) ([]any, error) {
	room := roomFor(batch)
	for i := range batch {
		j := &batch[i]
		if err := checkTenant(j); err != nil {
			return nil, err
		}
		window := ""
		if j.Unique != "" && j.Scope == driver.UniqueFor {
			window = millis(j.Window)
		}
		args = append(args, &j.ID, room.stored(j), dueText(j), &j.Unique, window)
	}
	return args, nil
}

// dueText is when a job is due: "" now, "+ms" from now, else ms since 1970.
func dueText(j *driver.Job) string {
	switch {
	case !j.At.IsZero():
		return strconv.FormatInt(j.At.Add(time.Millisecond-1).UnixMilli(), 10)
	case j.Delay > 0:
		return "+" + millis(j.Delay)
	}
	return ""
}

// opening is what an envelope begins with, see lua/part_route.lua: it is not
// stored. Other bodies are, behind a mark that no kind begins with.
const (
	opening = `{"v":1,"kind":"`
	whole   = '='
)

// stored is the route and the body, as lua/part_route.lua reads them.
func stored(j *driver.Job) []byte {
	return appendStored(make([]byte, 0, storedSize(j)), j)
}

// storedSize is at least the length of what stored makes.
func storedSize(j *driver.Job) int { return routeSize + len(j.Tenant) + 1 + len(j.Body) }

func appendStored(b []byte, j *driver.Job) []byte {
	flags := byte('0')
	if j.Unique != "" {
		flags = scopeDigit(j.Scope)
	}
	n := len(j.Tenant)
	b = append(b, priorityDigit(j), flags, '0'+byte(n/100), '0'+byte(n/10%10), '0'+byte(n%10))
	b = append(b, j.Tenant...)
	rest, cut := bytes.CutPrefix(j.Body, []byte(opening))
	if !cut || len(rest) == 0 || rest[0] == whole {
		b, rest = append(b, whole), j.Body
	}
	return append(b, rest...)
}

// room has the memory for what one call stores: many jobs are one piece.
type room []byte

func roomFor(batch []driver.Job) room {
	n := 0
	for i := range batch {
		n += storedSize(&batch[i])
	}
	return make(room, 0, n)
}

func (r *room) stored(j *driver.Job) []byte {
	start := len(*r)
	*r = appendStored(*r, j)
	return (*r)[start:len(*r):len(*r)]
}

func scopeDigit(s driver.UniqueScope) byte {
	switch s {
	case driver.UntilStarted:
		return '2'
	case driver.Replace:
		return '3'
	case driver.UniqueFor:
		return '4'
	}
	return '1'
}

// routeSize is the length of a route without its tenant.
const routeSize = 5

// readStored reads what stored made. What somebody else put there comes back as
// the body: what reads that will say so.
func readStored(stored string) (tenant string, body []byte) {
	if len(stored) < routeSize {
		return "", []byte(stored)
	}
	length, err := strconv.ParseUint(stored[2:routeSize], 10, 16)
	n := int(length)
	if err != nil || routeSize+n >= len(stored) {
		return "", []byte(stored)
	}
	tenant = stored[routeSize : routeSize+n]
	rest := stored[routeSize+n:]
	if rest[0] == whole {
		return tenant, []byte(rest[1:])
	}
	return tenant, append(append(make([]byte, 0, len(opening)+len(rest)), opening...), rest...)
}

// millis rounds up: a job is never early.
func millis(d time.Duration) string { return strconv.FormatInt(ceilMillis(d), 10) }

func ceilMillis(d time.Duration) int64 {
	d = min(max(d, 0), math.MaxInt64-time.Millisecond) // so that rounding up does not overflow
	return int64((d + time.Millisecond - 1) / time.Millisecond)
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
	args, err := appendJobs([]any{from, to}, batch)
	if err != nil {
		return false, fmt.Errorf("redisjobs: pushat: %w", err)
	}
	r, err := d.do(ctx, pushAt, "", args...)
	if err != nil {
		return false, err
	}
	return r.int() == 1, r.err
}

// Fire implements driver.Driver.
func (d *Driver) Fire(ctx context.Context, t driver.Tick) (driver.Fired, error) {
	args := []any{t.Name, t.At.UnixMilli(), flag(t.Known)}
	if t.Job != nil {
		var err error
		if args, err = appendJobs(args, []driver.Job{*t.Job}); err != nil {
			return driver.Fired{}, fmt.Errorf("redisjobs: fire: %w", err)
		}
	}
	r, err := d.do(ctx, fire, "", args...)
	if err != nil {
		return driver.Fired{}, err
	}
	fired := driver.Fired{Fired: r.int() == 1}
	fired.Last = time.UnixMilli(r.int()).UTC()
	fired.Now = time.UnixMilli(r.int()).UTC()
	fired.Holder = readPushed(r.text()).Holder
	return fired, r.err
}
