package driver

import "errors"

// Errors that callers of a Driver branch on; package jobs has them under the
// same names.
var (
	// ErrFull means that the store refused jobs for want of memory. Nothing was
	// stored.
	ErrFull = errors.New("jobs: store is full")

	// ErrQueueFull means that the queue holds Push.MaxDepth unfinished jobs.
	// Nothing was stored.
	ErrQueueFull = errors.New("jobs: queue is full")

	// ErrIDTaken answers a flow whose id another tenant's has. Nothing was
	// stored.
	ErrIDTaken = errors.New("jobs: id is in use by another tenant")

	// ErrLeaseLost answers a worker whose lease is gone: its jobs were given to
	// others.
	ErrLeaseLost = errors.New("jobs: lease lost")
)
