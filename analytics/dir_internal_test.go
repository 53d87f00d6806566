//go:build unix

package analytics

import (
	"log/slog"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program being started by another goroutine has a copy of every open file until it runs.
func TestClosedDirIsFreeDespiteAFork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := openWAL(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	forked, err := syscall.Dup(int(w.lock.Fd()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Close(forked)) })
	_, err = openWAL(dir, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "another process owns it")
	require.NoError(t, w.close())
	openTestWAL(t, dir)
}
