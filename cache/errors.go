package cache

import "errors"

var (
	// ErrNotFound is what a load returns for data that does not exist. The absence is then
	// cached for [Policy.NotFoundTTL], and a later Fetch returns ErrNotFound without loading.
	ErrNotFound = errors.New("cache: not found")

	// ErrNotModified is what a load of [Cache.FetchWith] returns if the previous value, which it
	// was shown, is still what the source has: then that one is kept as if it had been loaded
	// anew. If it was shown none, it is an error like any other.
	ErrNotModified = errors.New("cache: not modified")

	// ErrNoTenant answers every call on a hub with [Options.Tenant] whose context names no
	// tenant, before any memory or store is read. Data of no tenant goes through [Hub.Shared].
	ErrNoTenant = errors.New("cache: no tenant in the context; set one, or use Hub.Shared for data of no tenant")

	// ErrRunning is returned by a second [Hub.Run] while the first still runs.
	ErrRunning = errors.New("cache: hub is running already")

	// ErrLoadShed is returned instead of loading when Policy.MaxLoads loads of the cache have
	// kept running for a second. It says that the source is overloaded: try again later.
	ErrLoadShed = errors.New("cache: too many loads at a time")

	// ErrLoadPanic is wrapped by the error all waiting callers get when a load panicked.
	ErrLoadPanic = errors.New("cache: load panicked")
)
