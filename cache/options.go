package cache

import (
	"context"
	"log/slog"
	"time"
)

// Options configure a [Hub]. The zero value, like nil, is ready for use.
type Options struct {
	// Tenant names the tenant of a context; tenancy.IDFrom fits. It becomes part of every
	// key and tag. Nil means a program without tenants. When it is set and answers false or
	// an empty id, calls end with ErrNoTenant before any I/O.
	Tenant func(context.Context) (id string, ok bool)

	// Hooks finds the unit of work of a context; tenancy.Hooks{} fits. Hub.OnCommit and
	// Hub.Hold bind to it. Nil means a program without units of work.
	Hooks Hooks

	// HoldTTL bounds how long Hub.Hold keeps others from using the cache for its targets when
	// the process that holds them dies; a commit should never take as long. Zero means 10 s,
	// less than 100 ms is refused.
	HoldTTL time.Duration

	// LocalBytes bounds the memory of values kept in the process, counted by their encoded
	// size. Zero means 64 MiB. Negative turns the local level off.
	LocalBytes int64

	// MaxStaleness bounds how long another process's invalidation can stay unnoticed by the
	// local level after contact with the store was lost. Zero means 2 s. Negative is refused;
	// to read without the local level, set LocalBytes to -1 or Policy.NoLocal.
	MaxStaleness time.Duration

	// Lease is how long a process that died while loading blocks others from loading the
	// same key. Zero means 3 s, less than 10 ms is refused. Leases of the living are renewed.
	Lease time.Duration

	// StoreTimeout bounds each call of the store, or an eighth less. Zero means 1 s. Negative
	// means no bound.
	StoreTimeout time.Duration

	// Logger gets changes of state: the store failing and coming back, coherence lost and
	// regained. Nil means slog.Default().
	Logger *slog.Logger

	// Errors gets what no caller sees: panics of loads, refreshes in the background that
	// ended in an error, values that cannot be encoded or decoded, the store failing and
	// coherence lost. Nil drops them.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}

	// Metrics counts cache.hits (level=l1|l2), cache.stale, cache.misses, cache.bypasses,
	// cache.load_errors, cache.collapsed, cache.early, cache.shed, cache.rejected_fills and
	// cache.store_errors, with cache=<name> where it applies. Add must neither keep nor change
	// kv. Nil counts nothing.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}
}

func (o *Options) tenant() func(context.Context) (string, bool) {
	if o == nil {
		return nil
	}
	return o.Tenant
}

func (o *Options) hooks() Hooks {
	if o == nil {
		return nil
	}
	return o.Hooks
}

func (o *Options) holdTTL() time.Duration {
	if o == nil || o.HoldTTL == 0 {
		return 10 * time.Second
	}
	return o.HoldTTL
}

func (o *Options) localBytes() int64 {
	if o == nil || o.LocalBytes == 0 {
		return 64 << 20
	}
	return o.LocalBytes
}

func (o *Options) maxStaleness() time.Duration {
	if o == nil || o.MaxStaleness == 0 {
		return 2 * time.Second
	}
	return o.MaxStaleness
}

func (o *Options) lease() time.Duration {
	if o == nil || o.Lease == 0 {
		return 3 * time.Second
	}
	return o.Lease
}

func (o *Options) storeTimeout() time.Duration {
	if o == nil || o.StoreTimeout == 0 {
		return time.Second
	}
	return o.StoreTimeout
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

func (o *Options) report(ctx context.Context, err error, stack []byte) {
	if o != nil && o.Errors != nil {
		o.Errors.Report(ctx, err, stack)
	}
}

func (o *Options) count(ctx context.Context, name string, kv ...string) {
	if o != nil && o.Metrics != nil {
		o.Metrics.Add(ctx, name, 1, kv...)
	}
}
