package jobstest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// schedule is a stored schedule, or the note of one in code.
type schedule struct {
	data    string
	next    time.Time // zero: in code
	claimed time.Time // the tick that next is put off for; zero: none
	paused  bool
}

func (s *schedule) move(at time.Time) { s.next, s.claimed = at, time.Time{} }

// PutSchedule implements driver.Scheduler.
func (d *Driver) PutSchedule(ctx context.Context, p driver.PutSchedule) (driver.Started, error) {
	var started driver.Started
	if !bytes.HasPrefix(p.Data, []byte("{")) {
		return started, errors.New("jobstest: put schedule: data is no JSON object")
	}
	err := d.call(ctx, OpSchedule, func() error {
		s := d.schedules[p.Key]
		started.Now = now().Truncate(time.Millisecond)
		if s != nil && s.data == string(p.Data) {
			return nil
		}
		if len(p.Old) > 0 {
			if s != nil && s.data == string(p.Old) {
				s.data, started.Done = string(p.Data), true
			}
			return nil
		}
		if started.Stale = stale(p.Start, started.Now); started.Stale {
			return nil
		}
		if s == nil {
			s = &schedule{}
			d.schedules[p.Key] = s
		}
		s.data, started.Done = string(p.Data), true
		s.move(p.Start.Next)
		return nil
	})
	return started, err
}

func stale(s driver.Start, now time.Time) bool {
	return s != (driver.Start{}) && (s.From.After(now) || !s.Next.After(now))
}

// DropSchedules implements driver.Scheduler.
func (d *Driver) DropSchedules(ctx context.Context, keys []string) (int, error) {
	found := 0
	err := d.call(ctx, OpSchedule, func() error {
		for _, key := range keys {
			if d.schedules[key] != nil {
				found++
			}
			delete(d.schedules, key)
			if at, ok := d.ticks[key]; ok {
				d.dropped[key] = at
			}
			delete(d.ticks, key)
			delete(d.fired, key)
		}
		return nil
	})
	return found, err
}

// PauseSchedule implements driver.Scheduler.
func (d *Driver) PauseSchedule(ctx context.Context, key string) (bool, error) {
	found := false
	err := d.call(ctx, OpSchedule, func() error {
		if s := d.schedules[key]; s != nil {
			s.paused, s.claimed, found = true, time.Time{}, true
		}
		return nil
	})
	return found, err
}

// ResumeSchedule implements driver.Scheduler.
func (d *Driver) ResumeSchedule(ctx context.Context, key string, at driver.Start) (driver.Started, error) {
	var started driver.Started
	err := d.call(ctx, OpSchedule, func() error {
		started.Now = now().Truncate(time.Millisecond)
		s := d.schedules[key]
		if s == nil || !s.paused {
			return nil
		}
		if started.Stale = stale(at, started.Now); started.Stale {
			return nil
		}
		s.paused, started.Done = false, true
		s.move(at.Next)
		return nil
	})
	return started, err
}

// maxClaim bounds the data of one claim, in bytes.
const maxClaim = 1 << 20

// Claim implements driver.Scheduler.
func (d *Driver) Claim(ctx context.Context, c driver.Claim) (driver.Claimed, error) {
	var claimed driver.Claimed
	if err := paged("claim", 0, c.Limit); err != nil {
		return claimed, err
	}
	err := d.call(ctx, OpSchedule, func() error {
		claimed = driver.Claimed{Now: now().Truncate(time.Millisecond), Next: -1}
		bytes := 0
		for _, key := range d.ticking() {
			s := d.schedules[key]
			if s.next.After(claimed.Now) || len(claimed.Due) == c.Limit || bytes > maxClaim {
				break
			}
			if s.claimed.IsZero() {
				s.claimed = s.next
			}
			s.next = claimed.Now.Add(c.Hold)
			bytes += len(s.data)
			claimed.Due = append(claimed.Due, driver.DueSchedule{Key: key, Data: []byte(s.data), Tick: s.claimed})
		}
		if keys := d.ticking(); len(keys) > 0 {
			claimed.Next = max(0, d.schedules[keys[0]].next.Sub(claimed.Now))
		}
		return nil
	})
	return claimed, err
}

// ticking are the keys of the schedules that will be due, the first one first.
func (d *Driver) ticking() []string {
	var keys []string
	for key, s := range d.schedules {
		if !s.paused && !s.next.IsZero() {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(d.schedules[a].next.Compare(d.schedules[b].next), cmp.Compare(a, b))
	})
	return keys
}

// FireDue implements driver.Scheduler.
func (d *Driver) FireDue(ctx context.Context, ticks []driver.DueTick) ([]driver.FiredTick, error) {
	if err := bounded("fire due", len(ticks)); err != nil {
		return nil, err
	}
	for _, t := range ticks {
		if t.Job == nil {
			continue
		}
		if err := fits("fire due", *t.Job); err != nil {
			return nil, err
		}
	}
	fired := make([]driver.FiredTick, len(ticks))
	err := d.call(ctx, OpSchedule, func() error {
		for i, t := range ticks {
			s := d.schedules[t.Key]
			if s == nil || s.claimed.IsZero() || !s.claimed.Equal(t.Tick) {
				continue
			}
			s.move(t.Next.UTC().Truncate(time.Millisecond))
			fired[i].Fired = true
			if t.Job != nil {
				fired[i].Holder = d.store([]driver.Job{*t.Job})[0].Holder
				d.fired[t.Key] = t.Last.UTC().Truncate(time.Second)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return fired, nil
}

// Schedules implements driver.Scheduler.
func (d *Driver) Schedules(ctx context.Context, cursor string, limit int) ([]driver.Schedule, string, error) {
	var page []driver.Schedule
	next := ""
	if err := paged("schedules", 0, limit); err != nil {
		return nil, "", err
	}
	err := d.call(ctx, OpInspect, func() error {
		var keys []string
		for key := range d.schedules {
			if key > cursor {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		if len(keys) > limit {
			keys = keys[:limit]
			next = keys[limit-1]
		}
		for _, key := range keys {
			page = append(page, d.scheduled(key))
		}
		return nil
	})
	return page, next, err
}

// FindSchedules implements driver.Scheduler.
func (d *Driver) FindSchedules(ctx context.Context, keys []string) ([]driver.Schedule, error) {
	if err := bounded("find schedules", len(keys)); err != nil {
		return nil, err
	}
	found := make([]driver.Schedule, len(keys))
	err := d.call(ctx, OpInspect, func() error {
		for i, key := range keys {
			found[i] = d.scheduled(key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (d *Driver) scheduled(key string) driver.Schedule {
	s := d.schedules[key]
	if s == nil {
		return driver.Schedule{Key: key}
	}
	found := driver.Schedule{Key: key, Data: []byte(s.data), Last: d.fired[key], Paused: s.paused}
	if !s.paused {
		found.Next = s.next
	}
	return found
}
