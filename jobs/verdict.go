package jobs

import (
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// verdict is an error by which a handler decides what becomes of its job.
type verdict struct {
	action driver.Action
	delay  time.Duration
	err    error
}

func (v *verdict) Error() string { return v.err.Error() }
func (v *verdict) Unwrap() error { return v.err }

// Retry returns an error with which a handler fails its attempt, as with err,
// but says itself when the next one comes: after delay, 24 hours at most. A
// server that answers "try again in a minute" is the reason for it. The last
// attempt stays the last. A nil err is taken for "retry".
func Retry(err error, delay time.Duration) error {
	if err == nil {
		err = errors.New("jobs: retry")
	}
	return &verdict{driver.Retry, min(max(delay, 0), maxDelay), err}
}

// Snooze returns an error with which a handler puts its job off: it runs again
// after delay, 24 hours at most, and the attempt does not count. A delay of
// zero or less sends it behind the jobs that wait.
func Snooze(delay time.Duration) error {
	return &verdict{driver.Return, min(max(delay, time.Millisecond), maxDelay), errors.New("jobs: snoozed")}
}

// Discard returns an error with which a handler gives its job up: it is dead
// at once, whatever attempts are left. A nil err is taken for "discarded".
func Discard(err error) error {
	if err == nil {
		err = errors.New("jobs: discarded")
	}
	return &verdict{driver.Bury, 0, err}
}
