package httpx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// RecoverOptions configures [Recover]; nil and the zero value are ready for use.
type RecoverOptions struct {
	// Logger receives one line with the stack of each panic. Nil means slog.Default().
	Logger *slog.Logger

	// Errors is told about panics (with stack) and about errors that became a 500 (without). Nil means nobody.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}
}

// Recover turns a panic into a 500 problem if nothing was sent yet. After the first byte an honest answer is not possible any
// more, so the connection is broken: the client sees an error, not a short body that looks whole. Panics with
// http.ErrAbortHandler, also wrapped, pass through unreported.
func Recover(opts *RecoverOptions) Middleware {
	if opts == nil {
		opts = &RecoverOptions{}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, info := withInfo(r)
			set(info, &info.logger, opts.Logger)
			if opts.Errors != nil {
				set(info, &info.reporter, reporter(opts.Errors))
			}
			rec := record(w)
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				err := panicError(v)
				if errors.Is(err, http.ErrAbortHandler) {
					panic(http.ErrAbortHandler)
				}
				info.sawRoute(r.Pattern)
				info.panicked(r.Context(), err, debug.Stack())
				info.fail("internal", err)
				if rec.started() {
					panic(http.ErrAbortHandler)
				}
				writeProblem(rec, r, &Problem{Status: http.StatusInternalServerError, Code: "internal"})
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

// panicError makes an error of a panic value, keeping the chain of one that is an error.
func panicError(v any) error {
	if err, ok := v.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", v)
}
