//go:build linux && (amd64 || arm64)

package devclickhouse

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// loadLibrary opens libchdb and keeps it from taking over the process's
// signals, which belong to the Go runtime.
func loadLibrary(file string) (*library, error) {
	h, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("devclickhouse: load %s: %w", file, err)
	}
	l := &library{}
	for name, f := range map[string]any{
		"chdb_set_signal_handlers_enabled": &l.setSignalHandlers,
		"chdb_connect":                     &l.connect,
		"chdb_close_conn":                  &l.closeConn,
		"chdb_classify_query_n":            &l.classify,
		"chdb_query_with_params_n":         &l.query,
		"chdb_stream_query_with_params_n":  &l.stream,
		"chdb_stream_fetch_result":         &l.fetch,
		"chdb_stream_cancel_query":         &l.cancel,
		"chdb_destroy_query_result":        &l.destroy,
		"chdb_result_buffer":               &l.buffer,
		"chdb_result_length":               &l.length,
		"chdb_result_error":                &l.errorText,
		"chdb_result_storage_rows_read":    &l.rowsRead,
		"chdb_result_storage_bytes_read":   &l.bytesRead,
		"chdb_result_rows_written":         &l.rowsOut,
		"chdb_result_bytes_written":        &l.bytesOut,
		"chdb_stream_insert_with_params_n": &l.insert,
		"chdb_stream_insert_error":         &l.insertError,
		"chdb_stream_append":               &l.insertAppend,
		"chdb_stream_done":                 &l.insertDone,
		"chdb_stream_cancel_insert":        &l.insertCancel,
		"chdb_destroy_insert_stream":       &l.insertDestroy,
	} {
		sym, err := purego.Dlsym(h, name)
		if err != nil {
			return nil, fmt.Errorf("devclickhouse: %s has no %s: it is not libchdb %s: %w", file, name, Version, err)
		}
		purego.RegisterFunc(f, sym)
	}
	return l, keepSignals(func() { l.setSignalHandlers(0) })
}

// keepSignals undoes what f does to the signals that the Go runtime handles:
// switching libchdb's handlers off also resets these to their defaults.
func keepSignals(f func()) error {
	signals := []syscall.Signal{syscall.SIGILL, syscall.SIGABRT, syscall.SIGFPE, syscall.SIGBUS, syscall.SIGSEGV, syscall.SIGURG}
	saved := make([][8]uint64, len(signals)) // struct sigaction of the kernel has 4 words
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i, s := range signals {
		if err := sigaction(s, nil, &saved[i]); err != nil {
			return err
		}
	}
	f()
	for i, s := range signals {
		if err := sigaction(s, &saved[i], nil); err != nil {
			return err
		}
	}
	return nil
}

func sigaction(s syscall.Signal, set, old *[8]uint64) error {
	const maskBytes = 8
	_, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), maskBytes, 0, 0)
	if e != 0 {
		return fmt.Errorf("devclickhouse: sigaction %v: %w", s, e)
	}
	return nil
}
