package ratelimit

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

var (
	// ErrLimit: a [Limit] is not valid; the text says which field, and what it may be.
	ErrLimit = errors.New("ratelimit: invalid limit")

	// ErrCost: a call costs less than nothing, or more than the burst of one of its limits, so that it could never pass.
	ErrCost = errors.New("ratelimit: impossible cost")

	// ErrNoTenant: [Options].Tenant knows no tenant. Nothing was asked of the store.
	ErrNoTenant = errors.New("ratelimit: no tenant in the context")

	// ErrNoClientIP: [ByClientIP] knows no address; put httpx.ClientIP in front where the peer is a Unix socket.
	ErrNoClientIP = errors.New("ratelimit: the address of the client is not known")

	// ErrUnavailable: the store did not answer in time, and the limiter is [FailClosed]. It wraps the store's error.
	ErrUnavailable = errors.New("ratelimit: the store is not available")
)

// DeniedError is a [Decision] as an error; see [Decision.Err].
type DeniedError struct {
	// Decision is the one that denied the call.
	Decision Decision
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("ratelimit: denied by %s; try again in %v", e.Decision.DeniedBy, e.Decision.RetryAfter.Round(time.Millisecond))
}

// HTTPStatus returns 429.
func (e *DeniedError) HTTPStatus() int { return http.StatusTooManyRequests }
