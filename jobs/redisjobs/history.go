package redisjobs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// tallyText lays a tally out as lua/beat.lua adds it up: the three counts and
// the buckets of both histograms.
func tallyText(t *driver.Tally) string {
	if t == nil || *t == (driver.Tally{}) {
		return ""
	}
	counts := append([]int{t.Finished, t.Failed, t.Buried}, t.Wait[:]...)
	counts = append(counts, t.Run[:]...)
	text := make([]string, len(counts))
	for i, n := range counts {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, " ")
}

// readTally ignores what a later version may have added.
func readTally(text string) driver.Tally {
	var t driver.Tally
	into := []*int{&t.Finished, &t.Failed, &t.Buried}
	for i := range t.Wait {
		into = append(into, &t.Wait[i])
	}
	for i := range t.Run {
		into = append(into, &t.Run[i])
	}
	for i, field := range strings.Fields(text) {
		if i < len(into) {
			*into[i], _ = strconv.Atoi(field) // written by beat.lua as digits
		}
	}
	return t
}

// History implements driver.Historian.
func (d *Driver) History(ctx context.Context, since time.Time) ([]driver.Minute, error) {
	all, err := d.rdb.HGetAll(ctx, d.key("history", "")).Result()
	if err != nil {
		return nil, fmt.Errorf("redisjobs: history: %w", err)
	}
	var minutes []driver.Minute
	for minute, text := range all {
		n, err := strconv.ParseInt(minute, 10, 64)
		at := time.Unix(n*60, 0).UTC()
		if err != nil || at.Before(since.Truncate(time.Minute)) {
			continue
		}
		minutes = append(minutes, driver.Minute{At: at, Tally: readTally(text)})
	}
	slices.SortFunc(minutes, func(a, b driver.Minute) int { return a.At.Compare(b.At) })
	return minutes, nil
}
