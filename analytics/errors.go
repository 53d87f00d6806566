package analytics

import "errors"

var (
	// ErrNoTenant is returned by Track and by queries when Options.Tenant is set and the context has no tenant.
	ErrNoTenant = errors.New("analytics: no tenant in context")
	// ErrInvalid is returned for an event or a query that can never succeed as it is: an unknown field, a value of the
	// wrong type, an event over 64 KiB, a range that ends before it starts.
	ErrInvalid = errors.New("analytics: invalid")
	// ErrFull is returned by Track under the [Fail] policy, and under [Block] when the context ends, while the backlog
	// is at Options.MaxBacklog.
	ErrFull = errors.New("analytics: backlog is full")
	// ErrClosed is returned after [Analytics.Close].
	ErrClosed = errors.New("analytics: closed")
	// ErrRejected is what a [Store] returns (wrapped) from Insert when the content of the batch, not the state of the
	// store, is at fault: sending it again can never succeed. Every other error is retried for ever.
	ErrRejected = errors.New("analytics: store rejected the batch")
)
