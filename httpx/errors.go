package httpx

import "errors"

var (
	// ErrNoTenant: a tenant is required and none is known. From [Tenant] it becomes a 404 problem, from Read a 500: the
	// route lacks the middleware that sets it.
	ErrNoTenant = errors.New("httpx: no tenant in the request; put httpx.Tenant in front of this route")

	// ErrShutdown is the cancellation cause of requests that were cut off because they outlived [RunOptions].Grace.
	ErrShutdown = errors.New("httpx: the server is shutting down")
)

// reportedError was reported where its stack was known; each request that gets it must not report it again. It hides what it
// wraps: a panic is a 500, whatever its value was.
type reportedError struct{ error }
