// Package cron parses crontab expressions and computes their instants in a
// time zone, with the daylight-saving rules of ISC (Vixie) cron.
//
// Grammar: five fields (minute, hour, day of month, month, day of week) or six
// (second first), each a comma list of
//
//   - n  a-b        everything, a value, a range, each with an optional /step
//     H  H(a-b)  H/n   a value, or the start of the steps, by a hash of the seed
//     L  L-n           day of month: the last, or n days before it
//     nW  LW           day of month: the weekday nearest to n, the last weekday
//     nL  n#k          day of week: the last n, the k-th n of the month
//
// with month and weekday names of three letters, 7 as a second name of Sunday,
// and ? for * in the two day fields. Further @yearly, @annually, @monthly,
// @weekly, @daily, @midnight, @hourly, and "@every <duration>" of whole seconds.
//
// If both day fields are restricted, a day matches when either does.
package cron

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxSpec bounds what Parse reads.
const maxSpec = 256

// horizon is how many years Next looks ahead: a fifth Friday of February comes
// every 28 years, and every 40 around a century that has no leap day.
const horizon = 41

// Schedule is a parsed expression in a time zone. It is immutable.
type Schedule struct {
	loc    *time.Location
	every  time.Duration // > 0: @every
	second field
	minute field
	hour   field
	dom    field
	month  field
	dow    field
}

var macros = map[string]string{
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
	"@monthly":  "0 0 1 * *",
	"@weekly":   "0 0 * * 0",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@hourly":   "0 * * * *",
}

// Parse reads an expression. A nil location means UTC. The seed decides what H
// stands for. An expression that never fires, such as 30 February, is an error.
func Parse(spec string, loc *time.Location, seed string) (*Schedule, error) {
	if loc == nil {
		loc = time.UTC
	}
	if len(spec) > maxSpec {
		return nil, fmt.Errorf("expression is longer than %d bytes", maxSpec)
	}
	spec = strings.TrimSpace(spec)
	if rest, ok := strings.CutPrefix(spec, "@every "); ok {
		return parseEvery(strings.TrimSpace(rest), loc)
	}
	if strings.HasPrefix(spec, "@") {
		full, ok := macros[spec]
		if !ok {
			return nil, fmt.Errorf("unknown expression %q", spec)
		}
		spec = full
	}
	s := &Schedule{loc: loc, second: field{bits: 1}}
	targets, limits := []*field{&s.second, &s.minute, &s.hour, &s.dom, &s.month, &s.dow}, bounds[:]
	parts := strings.Fields(spec)
	switch len(parts) {
	case 5:
		targets, limits = targets[1:], limits[1:]
	case 6:
	default:
		return nil, fmt.Errorf("expression has %d fields, want 5 or 6: (second) minute hour day-of-month month day-of-week", len(parts))
	}
	for i, target := range targets {
		f, err := parseField(parts[i], limits[i], seed)
		if err != nil {
			return nil, fmt.Errorf("field %d (%s) %q: %w", i+1, limits[i].name, parts[i], err)
		}
		*target = f
	}
	if s.dow.has(7) {
		s.dow.bits |= 1
	}
	if s.Next(time.Unix(0, 0)).IsZero() {
		return nil, errors.New("expression never fires")
	}
	return s, nil
}

func parseEvery(text string, loc *time.Location) (*Schedule, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, fmt.Errorf("@every %q: %w", text, err)
	}
	if d < time.Second || d%time.Second != 0 {
		return nil, fmt.Errorf("@every %q: want whole seconds, at least one", text)
	}
	return &Schedule{loc: loc, every: d}, nil
}
