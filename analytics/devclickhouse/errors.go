package devclickhouse

import "errors"

var (
	// ErrUnsupported says that there is no pinned engine for this system.
	// Use a ClickHouse server there.
	ErrUnsupported = errors.New("devclickhouse: no pinned libchdb for this system: install clickhouse instead")

	// ErrNotInstalled says that the engine is not in the user's cache.
	// [Install] puts it there.
	ErrNotInstalled = errors.New("devclickhouse: libchdb is not installed: run the devclickhouse command with -install")

	// ErrInUse says that this process has an engine already: libchdb allows
	// one per process, and none after it.
	ErrInUse = errors.New("devclickhouse: this process runs an engine already; a second one needs its own process")
)
