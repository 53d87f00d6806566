package cache

import (
	"context"
	"time"
)

// slots bound the loads of one cache that run at a time. Nil is no bound.
type slots chan struct{}

func newSlots(n int) slots {
	if n <= 0 {
		return nil
	}
	return make(slots, n)
}

// shedAfter is how long a load waits for its turn. Who waits is a caller, so that the number
// of those who wait is the program's own.
const shedAfter = time.Second

// take reports whether there is a turn, now or, if patient, soon.
func (s slots) take(ctx context.Context, patient bool) bool {
	if s == nil {
		return true
	}
	select {
	case s <- struct{}{}:
		return true
	default:
	}
	if !patient {
		return false
	}
	t := time.NewTimer(shedAfter)
	defer t.Stop()
	select {
	case s <- struct{}{}:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

func (s slots) give() {
	if s != nil {
		<-s
	}
}
