package cache

import (
	"context"
	"sync/atomic"
	"time"
)

// bounds gives calls of the store a context that ends in time. Calls that begin at about the
// same time share its timer, which would otherwise be a good part of what a hit costs; one may
// so end an eighth of Options.StoreTimeout early.
type bounds struct{ latest atomic.Pointer[timer] }

type timer struct {
	context.Context
	cancel context.CancelFunc // nobody's: it ends by its timer, since others may use it
	made   time.Duration      // on core.now
}

// storeContext is for one call of the store: with the values of ctx but not its end, because
// a lease that nobody fills or gives back costs the others its whole length.
func (c *core) storeContext(ctx context.Context) context.Context {
	timeout := c.opts.storeTimeout()
	if timeout < 0 {
		return context.WithoutCancel(ctx)
	}
	now := c.now()
	b := c.bounds.latest.Load()
	if b == nil || now-b.made > timeout/8 {
		b = &timer{made: now}
		b.Context, b.cancel = context.WithTimeout(context.Background(), timeout)
		c.bounds.latest.Store(b)
	}
	return storeContext{b.Context, ctx}
}

// callContext is for a read that is of use to its caller only. An end of ctx that does not
// follow from a deadline is noticed after the read.
func (c *core) callContext(ctx context.Context) context.Context {
	timeout := c.opts.storeTimeout()
	if d, ok := ctx.Deadline(); timeout < 0 || ok && time.Until(d) <= timeout {
		return ctx
	}
	return c.storeContext(ctx)
}

// ended reports whether ctx is over, also when nobody has noticed yet.
func ended(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(d) <= 0
}

type storeContext struct {
	context.Context
	values context.Context
}

func (c storeContext) Value(key any) any { return c.values.Value(key) }
