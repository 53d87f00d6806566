package httpx

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// How long after the deadline a body may still be read and an answer written: what the context's end does is seen first, and
// whoever waited for the body can still say that it was too slow.
const (
	readSlack  = 2 * time.Second
	writeSlack = 5 * time.Second
)

// Deadline gives a request d to finish: its context ends then, two seconds later reading its body fails, and after five
// writing to the connection. A handler that returns late without having written anything gets a 503 problem with Retry-After. Zero or
// negative means no deadline. It starts no goroutine and buffers nothing, so it cannot stop code that ignores its context.
// A Deadline nearer to the handler replaces one farther out and the server's read and write timeouts, so single routes (streams,
// uploads) can have more time or none. It also replaces cancellations that middlewares between the two have put into the context.
func Deadline(d time.Duration) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state := &deadline{base: r.Context()}
			ctx := r.Context()
			if outer, ok := ctx.Value(deadlineKey{}).(*deadline); ok {
				outer.replaced.Store(true)
				state.base = outer.base
				var stop func()
				ctx, stop = rebase(ctx, outer.base)
				defer stop()
			}
			ctx = context.WithValue(ctx, deadlineKey{}, state)
			var readUntil, writeUntil time.Time
			if d > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, d)
				defer cancel()
				readUntil, writeUntil = time.Now().Add(d+readSlack), time.Now().Add(d+writeSlack)
			}
			conn := http.NewResponseController(w)
			_ = conn.SetWriteDeadline(writeUntil) // not every writer has one
			if r.ContentLength != 0 {             // without a body the server itself reads, to see whether the client is still there
				_ = conn.SetReadDeadline(readUntil)
			}
			rec := record(w)
			r = r.WithContext(ctx)
			r, info := withInfo(r)
			defer func() { info.sawRoute(r.Pattern) }() // the copy made here is the one that the mux marks
			next.ServeHTTP(rec, r)
			if d > 0 && ctx.Err() == context.DeadlineExceeded && rec.status == 0 && !rec.hijacked && !state.replaced.Load() {
				WriteError(rec, r, context.DeadlineExceeded)
			}
		})
	}
}

type deadlineKey struct{}

// deadline travels as a context value; base is the context outside of all Deadlines.
type deadline struct {
	base     context.Context
	replaced atomic.Bool
}

// rebase returns a context with the values of ctx and the cancellation of base.
func rebase(ctx, base context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(base, func() { cancel(context.Cause(base)) })
	return ctx, func() { unlink(); cancel(nil) }
}
