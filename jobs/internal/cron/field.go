package cron

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// field is the set of values one column allows.
type field struct {
	bits uint64
	star bool // a part began with *: the column is not a restriction
	wild bool // a part had * or a step: the column follows the wall clock
	days special
}

func (f field) has(v int) bool { return f.bits&(1<<uint(v)) != 0 }

// from is the first value that is allowed from v on, or one above all columns.
func (f field) from(v int) int { return v + bits.TrailingZeros64(f.bits>>v) }

type bound struct {
	name     string
	min, max int
	hashMax  int    // the largest value that H stands for
	names    string // three letters each, from min on
	special  func(d *special, part string, b bound) (bool, error)
	question bool
}

var bounds = [6]bound{
	{name: "second", min: 0, max: 59, hashMax: 59},
	{name: "minute", min: 0, max: 59, hashMax: 59},
	{name: "hour", min: 0, max: 23, hashMax: 23},
	{name: "day of month", min: 1, max: 31, hashMax: 28, special: (*special).addDay, question: true},
	{name: "month", min: 1, max: 12, hashMax: 12, names: "janfebmaraprmayjunjulaugsepoctnovdec"},
	{name: "day of week", min: 0, max: 7, hashMax: 6, names: "sunmontuewedthufrisat", special: (*special).addWeekday, question: true},
}

func parseField(text string, b bound, seed string) (field, error) {
	var f field
	for part := range strings.SplitSeq(text, ",") {
		if b.special != nil {
			switch done, err := b.special(&f.days, part, b); {
			case err != nil:
				return field{}, err
			case done:
				continue
			}
		}
		if err := f.add(part, b, seed); err != nil {
			return field{}, err
		}
	}
	return f, nil
}

// add unites f with one part: a value, a range, a star or a hash, with or
// without step.
func (f *field) add(part string, b bound, seed string) error {
	body, stepText, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		var err error
		if step, err = number(stepText); err != nil || step == 0 {
			return fmt.Errorf("step %q is not a positive number", stepText)
		}
		f.wild = true
	}
	low, high, err := span(body, b, stepped)
	if err != nil {
		return err
	}
	switch {
	case body == "*" || body == "?" && b.question:
		f.star, f.wild = true, true
	case strings.HasPrefix(body, "H") && stepped:
		low += int(Hash(seed, b.name) % uint64(min(step, high-low+1)))
	case strings.HasPrefix(body, "H"):
		low += int(Hash(seed, b.name) % uint64(high-low+1))
		high = low
	}
	if b.max == 7 && high == 7 && !strings.Contains(body, "7") {
		high = 6 // 7 is only another name of 0 and would upset the steps
	}
	for v := low; v <= high; v += step {
		f.bits |= 1 << uint(v)
	}
	return nil
}

// span is the range that a part without its step stands for.
func span(body string, b bound, stepped bool) (low, high int, err error) {
	if body == "*" || body == "?" && b.question {
		return b.min, b.max, nil
	}
	if body == "H" {
		return b.min, b.hashMax, nil
	}
	if inner, ok := strings.CutPrefix(body, "H("); ok {
		inner, closed := strings.CutSuffix(inner, ")")
		if !closed || !strings.Contains(inner, "-") {
			return 0, 0, fmt.Errorf("%q is not of the form H(a-b)", body)
		}
		body = inner
	}
	from, to, ranged := strings.Cut(body, "-")
	if low, err = value(from, b); err != nil {
		return 0, 0, err
	}
	switch high = low; {
	case ranged:
		if high, err = value(to, b); err != nil {
			return 0, 0, err
		}
	case stepped:
		high = b.max
	}
	if low > high {
		return 0, 0, fmt.Errorf("range %q runs backwards", body)
	}
	return low, high, nil
}

func value(text string, b bound) (int, error) {
	if len(text) == 3 && b.names != "" {
		if i := strings.Index(b.names, strings.ToLower(text)); i >= 0 && i%3 == 0 {
			return b.min + i/3, nil
		}
	}
	n, err := number(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a %s", text, b.name)
	}
	if n < b.min || n > b.max {
		return 0, fmt.Errorf("%d is not within %d-%d", n, b.min, b.max)
	}
	return n, nil
}

// number reads up to three digits: no sign, no blank.
func number(text string) (int, error) {
	if text == "" || len(text) > 3 || strings.Trim(text, "0123456789") != "" {
		return 0, errors.New("not a number")
	}
	return strconv.Atoi(text)
}

// Hash is what H stands for, before the modulus: FNV-1a, finished so that small
// moduli are even.
func Hash(seed, column string) uint64 {
	h := uint64(14695981039346656037)
	for _, text := range []string{seed, "\x00", column} {
		for i := range len(text) {
			h = (h ^ uint64(text[i])) * 1099511628211
		}
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return h ^ h>>33
}
