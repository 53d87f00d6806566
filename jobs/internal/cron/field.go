package cron

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// field is the set of values one column allows.
type field struct {
	bits uint64
	star bool // a part began with *: the column is not a restriction
	wild bool // a part had * or a step: the column follows the wall clock
}

func (f field) has(v int) bool { return f.bits&(1<<uint(v)) != 0 }

type bound struct {
	name     string
	min, max int
	names    string // three letters each, from min on
	question bool
}

var bounds = [5]bound{
	{name: "minute", min: 0, max: 59},
	{name: "hour", min: 0, max: 23},
	{name: "day of month", min: 1, max: 31, question: true},
	{name: "month", min: 1, max: 12, names: "janfebmaraprmayjunjulaugsepoctnovdec"},
	{name: "day of week", min: 0, max: 7, names: "sunmontuewedthufrisat", question: true},
}

func parseField(text string, b bound) (field, error) {
	var f field
	for part := range strings.SplitSeq(text, ",") {
		if err := f.add(part, b); err != nil {
			return field{}, err
		}
	}
	return f, nil
}

// add unites f with one part: a value, a range or a star, with or without step.
func (f *field) add(part string, b bound) error {
	body, stepText, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		var err error
		if step, err = number(stepText); err != nil || step == 0 {
			return fmt.Errorf("step %q is not a positive number", stepText)
		}
		f.wild = true
	}
	low, high := b.min, b.max
	switch {
	case body == "*" || body == "?" && b.question:
		f.star, f.wild = true, true
	default:
		from, to, ranged := strings.Cut(body, "-")
		var err error
		if low, err = value(from, b); err != nil {
			return err
		}
		if !stepped || ranged {
			high = low
		}
		if ranged {
			if high, err = value(to, b); err != nil {
				return err
			}
		}
		if low > high {
			return fmt.Errorf("range %q runs backwards", body)
		}
	}
	if b.max == 7 && high == 7 && !strings.Contains(body, "7") {
		high = 6 // 7 is only another name of 0 and would upset the steps
	}
	for v := low; v <= high; v += step {
		f.bits |= 1 << uint(v)
	}
	return nil
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
