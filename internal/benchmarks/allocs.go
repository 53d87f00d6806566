package main

import (
	"context"
	"runtime"
)

// allocs reads how many heap objects n calls make on average. Those of goroutines that run
// beside are counted too, so a call is repeated often enough to drown them.
func allocs(n int, f call) measure {
	return func(ctx context.Context) (float64, error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range n {
			if err := f(ctx, i); err != nil {
				return 0, err
			}
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / float64(n), nil
	}
}

// extraAllocs reads how many more n calls of ours make than those of theirs.
func extraAllocs(n int, ours, theirs call) measure {
	return func(ctx context.Context) (float64, error) {
		mine, err := allocs(n, ours)(ctx)
		if err != nil {
			return 0, err
		}
		others, err := allocs(n, theirs)(ctx)
		return mine - others, err
	}
}
