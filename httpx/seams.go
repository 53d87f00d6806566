package httpx

import (
	"context"
	"net/http"
	"time"
)

// Middleware wraps a handler. It is an alias, so functions written for chi, echo's WrapMiddleware or plain net/http fit as they are.
type Middleware = func(http.Handler) http.Handler

// Cache is what Read stores encoded responses in; *cache.Hub has these methods. Implementations are safe for concurrent use.
//
// GetOrLoad returns the value of key. A value younger than fresh is returned as it is; one younger than fresh+stale is
// returned too while at most one load replaces it in the background; otherwise load runs, once for all concurrent callers of the key.
// stored is when the value was loaded. status is "hit" (fresh), "stale", "miss" (this call loaded it, and it is stored), "unstored" (this
// call loaded it, and it was not stored, because a tag was dropped meanwhile for example), "collapsed" (another caller's load was
// awaited) or "bypass" (loaded without the cache); other words are allowed. A failed load is never stored.
// The context given to load outlives the first caller's cancellation but keeps its values. The value must not be modified by anybody.
// A cache that is scoped by tenant takes the tenant from ctx and answers an error when there is none.
//
// [github.com/ashlar-go/ashlar/httpx/httpxtest.RunCache] checks an implementation.
type Cache interface {
	GetOrLoad(ctx context.Context, key string, fresh, stale time.Duration, tags []string,
		load func(context.Context) ([]byte, error)) (val []byte, stored time.Time, status string, err error)
}

// Invalidator drops every cached value that carries one of the tags; *cache.Hub has this method. When it returns nil, no
// later GetOrLoad answers with a value whose load began before the call.
type Invalidator interface {
	InvalidateTags(ctx context.Context, tags ...string) error
}

// Transactor runs fn in one unit of work: commit when fn returns nil, roll back otherwise. *tenancy.DB has this method.
// It may run fn more than once (serialization failures); Write gives every run a freshly decoded input.
type Transactor interface {
	InTx(ctx context.Context, fn func(context.Context) error) error
}

// Validator is an input that checks itself after it was decoded. Return [FieldErrors] to name fields; the text of any other
// error is shown to the client as it is, unless it is mapped (see [Problems]).
type Validator interface{ Validate() error }

// reporter is the seam for unexpected errors and panics; stack is nil for errors.
type reporter interface {
	Report(ctx context.Context, err error, stack []byte)
}
