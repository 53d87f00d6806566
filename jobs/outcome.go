package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Outcome says in a word how an attempt ended. It is one of
//
//	completed     the handler returned nil
//	failed        it returned an error or panicked, and another attempt follows
//	dead          likewise, and none follows
//	discarded     it gave the job up (Discard), which is dead
//	snoozed       it put the job off (Snooze); the attempt does not count
//	cancelled     it returned an error after its job was cancelled, which is gone
//	interrupted   it returned an error after its process had to give the job up,
//	              which runs again; the attempt does not count
//
// Further words may be added.
type Outcome string

const (
	completed   Outcome = "completed"
	failed      Outcome = "failed"
	dead        Outcome = "dead"
	discarded   Outcome = "discarded"
	snoozed     Outcome = "snoozed"
	cancelled   Outcome = "cancelled"
	interrupted Outcome = "interrupted"
)

// OutcomeOf says how an attempt ends whose handler returns err now; ctx is the
// handler's. It is for OnWork, where not every error is a failure. Outside of a
// handler it knows no more than completed and failed.
func OutcomeOf(ctx context.Context, err error) Outcome {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		end, _ := a.outcome(err)
		return end
	}
	if err != nil {
		return failed
	}
	return completed
}

// outcome also answers why the attempt had ended by then; nil if it had not.
func (a *attempt) outcome(err error) (end Outcome, why error) {
	why = a.ended(time.Now())
	if err == nil {
		return completed, why
	}
	var v *verdict
	errors.As(err, &v)
	switch {
	case a.base.Err() != nil || why == ErrLeaseLost:
		return interrupted, why
	case why == ErrCancelled:
		return cancelled, why
	case v != nil && v.action == driver.Return:
		return snoozed, why
	case v != nil && v.action == driver.Bury:
		return discarded, why
	case a.info.Attempt >= a.info.MaxAttempts:
		return dead, why
	}
	return failed, why
}
