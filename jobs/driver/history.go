package driver

import (
	"context"
	"time"
)

// Historian is what a Driver may offer to show how a queue did. Workers bring
// their tallies with each beat, so that it costs a job nothing.
type Historian interface {
	// History answers the minutes since an instant that had any tally, oldest
	// first; those of the last 24 hours at least, by the store's clock.
	History(ctx context.Context, since time.Time) ([]Minute, error)
}

// Minute is what a queue did in a minute.
type Minute struct {
	At time.Time // its beginning, UTC
	Tally
}

// Tally counts what workers did.
type Tally struct {
	Finished int       // handlers that returned nil
	Failed   int       // attempts that did not
	Buried   int       // jobs that died
	Wait     Histogram // from being due to being started
	Run      Histogram // handlers' time
}

// Histogram counts durations: bucket i those below 2^i milliseconds that are
// in no bucket before it; the last one all the rest.
type Histogram [20]int
