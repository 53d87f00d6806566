package analytics

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// refuse makes the next write to the log fail, as on a full disk: its file can be read but not written.
func refuse(t *testing.T, w *wal) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	s, err := w.active(0)
	require.NoError(t, err)
	readOnly, err := os.Open(s.data.Name())
	require.NoError(t, err)
	require.NoError(t, s.data.Close())
	s.data = readOnly
}

func TestDiskThatKeepsFailingLeavesNoFilesBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := openTestWAL(t, dir)
	require.NoError(t, appendTo(w, 1))
	for range 50 {
		refuse(t, w)
		require.Error(t, appendTo(w, 2))
	}
	require.NoError(t, appendTo(w, 3))
	files, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	require.NoError(t, err)
	require.Len(t, files, 2, "one for each of the two events that were recorded")
	require.Len(t, drain(t, w, 10), 2)
}

// The log may be what filled the disk: delivering it must then be possible without another byte.
func TestDeliveryTakesNoSpace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	size := func() (n int64) {
		files, err := filepath.Glob(filepath.Join(dir, "0*"))
		require.NoError(t, err)
		require.Len(t, files, 2)
		for _, name := range files {
			info, err := os.Stat(name)
			require.NoError(t, err)
			n += info.Size()
		}
		return n
	}
	w, err := openWAL(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for i := range 100 {
		require.NoError(t, appendTo(w, i))
	}
	full := size()
	for range 2 { // the second time in another process
		for range 49 {
			b, err := w.next(1)
			require.NoError(t, err)
			require.NoError(t, w.settle(b))
		}
		require.Equal(t, full, size())
		require.NoError(t, w.close())
		w, err = openWAL(dir, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
	}
	require.Len(t, drain(t, w, 1), 2)
	require.NoError(t, w.close())
}

func TestDamagedLedgerIsVoidFromThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := openWAL(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for i := range 3 {
		require.NoError(t, appendTo(w, i))
	}
	for range 2 {
		b, err := w.next(1)
		require.NoError(t, err)
		require.NoError(t, w.settle(b))
	}
	name := w.segments[0].ledger.Name()
	require.NoError(t, w.close())
	ledger, err := os.ReadFile(name)
	require.NoError(t, err)
	ledger[2*entrySize-1] ^= 1 // the checksum of the first "settled"
	require.NoError(t, os.WriteFile(name, ledger, 0o600))

	w = openTestWAL(t, dir)
	total, _, _ := w.counts()
	require.EqualValues(t, 3, total)
	ledger, err = os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, make([]byte, ledgerSpace-entrySize), ledger[entrySize:])
	require.Len(t, drain(t, w, 10), 3)
}
