package redisjobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

var (
	schedulePut    = command{"schedule_put", "schedules ticks claims", "name data from next old"}
	scheduleDrop   = command{"schedule_drop", "schedules ticks claims cron", "{name}..."}
	schedulePause  = command{"schedule_pause", "schedules ticks claims", "name"}
	scheduleResume = command{"schedule_resume", "ticks claims", "name from next"}
	scheduleClaim  = command{"schedule_claim", "schedules ticks claims", "limit hold_ms"}
	scheduleFire   = command{"schedule_fire", storeKeys + " schedules ticks claims", "{name tick next last id stored due key window}..."}
	scheduleFind   = command{"schedule_find", "schedules ticks cron", "{name}..."}

	scheduleCommands = []command{schedulePut, scheduleDrop, schedulePause, scheduleResume, scheduleClaim, scheduleFire, scheduleFind}
)

// PutSchedule implements driver.Scheduler.
func (d *Driver) PutSchedule(ctx context.Context, s driver.PutSchedule) (driver.Started, error) {
	if !bytes.HasPrefix(s.Data, []byte("{")) {
		return driver.Started{}, errors.New("redisjobs: schedule_put: data is no JSON object")
	}
	from, next := startArgs(s.Start)
	return d.started(ctx, schedulePut, s.Key, s.Data, from, next, s.Old)
}

// ResumeSchedule implements driver.Scheduler.
func (d *Driver) ResumeSchedule(ctx context.Context, key string, at driver.Start) (driver.Started, error) {
	from, next := startArgs(at)
	return d.started(ctx, scheduleResume, key, from, next)
}

func startArgs(s driver.Start) (from, next string) {
	if s == (driver.Start{}) {
		return "", ""
	}
	return strconv.FormatInt(s.From.UnixMilli(), 10), strconv.FormatInt(s.Next.UnixMilli(), 10)
}

func (d *Driver) started(ctx context.Context, c command, args ...any) (driver.Started, error) {
	r, err := d.do(ctx, c, "", args...)
	if err != nil {
		return driver.Started{}, err
	}
	return driver.Started{Done: r.int() == 1, Stale: r.int() == 1, Now: time.UnixMilli(r.int()).UTC()}, r.err
}

// DropSchedules implements driver.Scheduler.
func (d *Driver) DropSchedules(ctx context.Context, keys []string) (int, error) {
	return d.count(ctx, scheduleDrop, keys)
}

// PauseSchedule implements driver.Scheduler.
func (d *Driver) PauseSchedule(ctx context.Context, key string) (bool, error) {
	n, err := d.count(ctx, schedulePause, []string{key})
	return n == 1, err
}

func (d *Driver) count(ctx context.Context, c command, keys []string) (int, error) {
	r, err := d.do(ctx, c, "", anys(keys)...)
	if err != nil {
		return 0, err
	}
	return int(r.int()), r.err
}

func anys(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}

// Claim implements driver.Scheduler.
func (d *Driver) Claim(ctx context.Context, c driver.Claim) (driver.Claimed, error) {
	if err := paged("schedule_claim", 0, c.Limit); err != nil {
		return driver.Claimed{}, err
	}
	r, err := d.do(ctx, scheduleClaim, "", c.Limit, millis(c.Hold))
	if err != nil {
		return driver.Claimed{}, err
	}
	claimed := driver.Claimed{Now: time.UnixMilli(r.int()).UTC(), Next: -1}
	if next := r.int(); next >= 0 {
		claimed.Next = time.Duration(next) * time.Millisecond
	}
	for len(r.items) > 0 && r.err == nil {
		due := driver.DueSchedule{Key: r.text(), Tick: time.UnixMilli(r.int()).UTC()}
		due.Data = []byte(r.text())
		claimed.Due = append(claimed.Due, due)
	}
	return claimed, r.err
}

// FireDue implements driver.Scheduler.
func (d *Driver) FireDue(ctx context.Context, ticks []driver.DueTick) ([]driver.FiredTick, error) {
	if err := bounded("schedule_fire", len(ticks)); err != nil {
		return nil, err
	}
	if len(ticks) == 0 {
		return nil, nil
	}
	args := make([]any, 0, 9*len(ticks))
	for _, t := range ticks {
		args = append(args, t.Key, t.Tick.UnixMilli(), t.Next.UnixMilli(), t.Last.Unix())
		if t.Job == nil {
			args = append(args, "", "", "", "", "")
			continue
		}
		var err error
		if args, err = appendJobs(args, []driver.Job{*t.Job}); err != nil {
			return nil, fmt.Errorf("redisjobs: %s: %w", scheduleFire.name, err)
		}
	}
	r, err := d.do(ctx, scheduleFire, "", args...)
	if err != nil {
		return nil, err
	}
	fired := make([]driver.FiredTick, len(ticks))
	for i := range fired {
		answer := r.text()
		fired[i].Fired = answer != "no"
		if holder, ok := strings.CutPrefix(answer, "="); ok {
			fired[i].Holder = holder
		}
	}
	return fired, r.err
}

// Schedules implements driver.Scheduler.
func (d *Driver) Schedules(ctx context.Context, cursor string, limit int) ([]driver.Schedule, string, error) {
	if err := paged("schedules", 0, limit); err != nil {
		return nil, "", err
	}
	at, err := strconv.ParseUint("0"+cursor, 10, 64)
	if err != nil {
		return nil, "", fmt.Errorf("redisjobs: schedules: bad cursor: %w", err)
	}
	pairs, at, err := d.rdb.HScan(ctx, d.key("schedules", ""), at, "", int64(limit)).Result()
	if err != nil {
		return nil, "", fmt.Errorf("redisjobs: schedules: %w", err)
	}
	next := ""
	if at != 0 {
		next = strconv.FormatUint(at, 10)
	}
	// A hash of few fields comes whole, whatever the limit.
	keys := make([]string, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		keys = append(keys, pairs[i])
	}
	found, err := d.findSchedules(ctx, keys) // a page may be longer than asked for
	if err != nil {
		return nil, "", err
	}
	page := found[:0]
	for _, s := range found {
		if len(s.Data) > 0 { // else it was dropped meanwhile
			page = append(page, s)
		}
	}
	return page, next, nil
}

// FindSchedules implements driver.Scheduler.
func (d *Driver) FindSchedules(ctx context.Context, keys []string) ([]driver.Schedule, error) {
	if err := bounded("schedule_find", len(keys)); err != nil {
		return nil, err
	}
	return d.findSchedules(ctx, keys)
}

func (d *Driver) findSchedules(ctx context.Context, keys []string) ([]driver.Schedule, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	r, err := d.do(ctx, scheduleFind, "", anys(keys)...)
	if err != nil {
		return nil, err
	}
	found := make([]driver.Schedule, len(keys))
	for i, key := range keys {
		s := driver.Schedule{Key: key, Data: []byte(r.text())}
		score, last := r.text(), r.text()
		if score != "" {
			s.Next = scoreTime(score)
			if s.Next.UnixMilli() < 0 { // PAUSED of lua/part_schedule.lua
				s.Paused, s.Next = true, time.Time{}
			}
		}
		if last != "" {
			s.Last = scoreTime(last)
		}
		found[i] = s
	}
	return found, r.err
}
