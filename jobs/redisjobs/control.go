package redisjobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Configure implements driver.Controller.
func (d *Driver) Configure(ctx context.Context, changes []driver.Change) error {
	var fields []any
	for _, c := range changes {
		field := ""
		if c.Pause != nil {
			field = pauseField(c.Target)
			value := ""
			if *c.Pause {
				value = "1"
			}
			fields = append(fields, field, value)
		}
		if c.Limit != nil {
			fields = append(fields, limitField(c.Target), limitText(*c.Limit))
		}
		if c.Weight != nil {
			value := ""
			if *c.Weight > 1 {
				value = strconv.Itoa(*c.Weight)
			}
			fields = append(fields, "W"+c.Target.Tenant, value)
		}
	}
	// The script refuses if a worker came meanwhile; they do not come that fast.
	for range 100 {
		workers, err := d.rdb.ZRange(ctx, d.key("lease", ""), 0, -1).Result()
		if err != nil {
			return fmt.Errorf("redisjobs: configure: %w", err)
		}
		args := []any{len(workers)}
		for _, w := range workers {
			args = append(args, w)
		}
		r, err := d.doAll(ctx, configure, workers, append(args, fields...)...)
		if err != nil {
			return err
		}
		if r.int() == 1 {
			return nil
		}
	}
	return errors.New("redisjobs: configure: workers came faster than they could be counted; try again")
}

func pauseField(t driver.Target) string {
	switch {
	case t.Tenant != "" || t.NoTenant:
		return "P" + t.Tenant
	case t.Kind != "":
		return "K" + t.Kind
	}
	return "paused"
}

func limitField(t driver.Target) string {
	switch {
	case t.Tenant != "" || t.NoTenant:
		return "T" + t.Tenant
	case t.EachTenant:
		return "E"
	}
	return "Q"
}

// limitText is "<running> <rate> <per ms> <burst>", as lua/part_limit.lua reads
// it; "" is no limit.
func limitText(l driver.Limit) string {
	if l.Running <= 0 && l.Rate <= 0 {
		return ""
	}
	per, burst := l.Per, l.Burst
	if per <= 0 {
		per = time.Second
	}
	if burst <= 0 {
		burst = max(l.Rate, 1)
	}
	return fmt.Sprintf("%d %d %s %d", max(l.Running, 0), max(l.Rate, 0), millis(per), burst)
}

func readLimit(text string) driver.Limit {
	var l driver.Limit
	var ms int64
	if _, err := fmt.Sscan(text, &l.Running, &l.Rate, &ms, &l.Burst); err != nil {
		return driver.Limit{}
	}
	if l.Rate == 0 {
		return driver.Limit{Running: l.Running}
	}
	l.Per = time.Duration(ms) * time.Millisecond
	return l
}

// Control implements driver.Controller.
func (d *Driver) Control(ctx context.Context) (driver.Control, error) {
	fields, err := d.rdb.HGetAll(ctx, d.key("control", "")).Result()
	if err != nil {
		return driver.Control{}, fmt.Errorf("redisjobs: control: %w", err)
	}
	c := driver.Control{Tenants: map[string]driver.Limit{}, Weights: map[string]int{}}
	for field, value := range fields {
		letter, name := field[:1], field[1:]
		switch {
		case field == "paused":
			c.Paused = true
		case letter == "P":
			c.PausedTenants = append(c.PausedTenants, name)
		case letter == "K":
			c.PausedKinds = append(c.PausedKinds, name)
		case letter == "Q":
			c.Limit = readLimit(value)
		case letter == "E":
			c.EachTenant = readLimit(value)
		case letter == "T":
			c.Tenants[name] = readLimit(value)
		case letter == "W":
			c.Weights[name], _ = strconv.Atoi(value) // written by Configure
		}
	}
	slices.Sort(c.PausedTenants)
	slices.Sort(c.PausedKinds)
	return c, nil
}

// Nudges implements driver.Nudger.
func (d *Driver) Nudges(ctx context.Context, nudge func()) error {
	sub := d.rdb.Subscribe(ctx, d.channel())
	defer func() { _ = sub.Close() }()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // Receive does not watch ctx
	for {
		_, err := sub.ReceiveMessage(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("redisjobs: nudges: %w", err)
		}
		nudge()
	}
}

func (d *Driver) channel() string { return strings.TrimSuffix(d.prefix, ":") }
