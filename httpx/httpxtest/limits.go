package httpxtest

import (
	"context"
	"sync"

	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

// Limits is a ratelimit.Store in memory whose failures are switched on. Make one with [NewLimits].
type Limits struct {
	*ratelimit.Memory

	mu    sync.Mutex
	err   error
	hang  bool
	takes int
}

var _ ratelimit.Store = (*Limits)(nil)

// NewLimits makes an empty store.
func NewLimits() *Limits { return &Limits{Memory: ratelimit.NewMemory(nil)} }

// Fail makes every call return err until Fail(nil), which also ends a hang.
func (l *Limits) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.hang = err, false
}

// Hang makes every call wait until its context ends, until Fail(nil).
func (l *Limits) Hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hang = true
}

// Takes returns how many calls of Take came, failed ones too.
func (l *Limits) Takes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.takes
}

// Take implements ratelimit.Store.
func (l *Limits) Take(ctx context.Context, group string, takes []ratelimit.Take) ([]ratelimit.Span, bool, error) {
	if err := l.fault(ctx, 1); err != nil {
		return nil, false, err
	}
	return l.Memory.Take(ctx, group, takes)
}

// Reset implements ratelimit.Store.
func (l *Limits) Reset(ctx context.Context, group string, keys []string) error {
	if err := l.fault(ctx, 0); err != nil {
		return err
	}
	return l.Memory.Reset(ctx, group, keys)
}

func (l *Limits) fault(ctx context.Context, takes int) error {
	l.mu.Lock()
	l.takes += takes
	err, hang := l.err, l.hang
	l.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}
