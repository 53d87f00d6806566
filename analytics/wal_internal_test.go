package analytics

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func testRecord(n int) Record {
	return Record{
		ID: newID(time.UnixMilli(int64(n))), Tenant: "acme", Name: "Sold", User: "u", Time: time.UnixMilli(int64(n)).UTC(),
		Props: json.RawMessage(`{"n":1}`),
	}
}

func appendTo(w *wal, n int) error {
	r := testRecord(n)
	return w.append(r, appendFrame(nil, r))
}

func openTestWAL(t *testing.T, dir string) *wal {
	t.Helper()
	w, err := openWAL(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.close()) })
	return w
}

// drain settles everything and returns the records.
func drain(t *testing.T, w *wal, batch int) []Record {
	t.Helper()
	var out []Record
	for {
		b, err := w.next(batch)
		require.NoError(t, err)
		if b == nil {
			return out
		}
		out = append(out, b.records...)
		require.NoError(t, w.settle(b))
	}
}

func TestFailingDiskFailsTrackAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := openTestWAL(t, dir)
	require.NoError(t, appendTo(w, 1))
	// A file that can be read but not written stands for a disk that refuses.
	s := w.segments[0]
	readOnly, err := os.Open(s.data.Name())
	require.NoError(t, err)
	require.NoError(t, s.data.Close())
	s.data = readOnly
	require.Error(t, appendTo(w, 2))
	require.NoError(t, appendTo(w, 3), "a new segment takes over")
	require.Equal(t, []Record{testRecord(1).withID(""), testRecord(3).withID("")}, withoutIDs(drain(t, w, 10)))
	total, settled, bytes := w.counts()
	require.Equal(t, []int64{2, 2, 0}, []int64{int64(total), int64(settled), bytes})
}

func (r Record) withID(id string) Record {
	r.ID = id
	return r
}

func withoutIDs(rs []Record) []Record {
	for i := range rs {
		rs[i].ID = ""
	}
	return rs
}

func TestConcurrentAppendsShareOneWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := openTestWAL(t, t.TempDir())
		w.leading = true // somebody is busy with the disk
		c := w.group
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if err := appendTo(w, i); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		require.EqualValues(t, 20, c.n)
		c.lead <- struct{}{} // the disk is free
		wg.Wait()
		require.False(t, w.leading, "one commit for all of them")
		total, _, _ := w.counts()
		require.EqualValues(t, 20, total)
	})
}

func TestVanishedDirectoryIsAnErrorUntilItIsBack(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "wal")
	w := openTestWAL(t, dir)
	require.NoError(t, os.RemoveAll(dir))
	require.Error(t, appendTo(w, 1))
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, appendTo(w, 2))
	require.Len(t, drain(t, w, 10), 1)
}

func TestFailedSealIsTakenBack(t *testing.T) {
	t.Parallel()
	w := openTestWAL(t, t.TempDir())
	require.NoError(t, appendTo(w, 1))
	s := w.segments[0]
	writable := s.ledger
	readOnly, err := os.Open(writable.Name())
	require.NoError(t, err)
	s.ledger = readOnly
	_, err = w.next(10)
	require.Error(t, err, "a batch is not sent unless its boundaries are on disk")
	require.NoError(t, readOnly.Close())
	s.ledger = writable
	require.NoError(t, appendTo(w, 2))
	require.Len(t, drain(t, w, 10), 2)
}

func TestSegmentsRollAndDisappear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := openTestWAL(t, dir)
	r := testRecord(1)
	r.Props = append(append(json.RawMessage(`{"s":"`), bytes.Repeat([]byte("x"), 60_000)...), `"}`...)
	frame := appendFrame(nil, r)
	n := 3 * segmentBytes / len(frame)
	for range n {
		w.group.buf = append(w.group.buf, frame...) // one write for many, or the test takes a thousand fsyncs
		w.group.n++
		if len(w.group.buf) > 1<<20 {
			require.NoError(t, w.append(r, frame))
		}
	}
	require.NoError(t, w.append(r, frame))
	require.GreaterOrEqual(t, len(w.segments), 3)
	total, _, size := w.counts()
	require.EqualValues(t, int64(total)*int64(len(frame)), size)
	require.Len(t, drain(t, w, 1000), int(total))
	require.Len(t, w.segments, 1, "delivered segments are deleted, the open one stays")
	files, err := filepath.Glob(filepath.Join(dir, "0*"))
	require.NoError(t, err)
	require.Len(t, files, 2)
}

func TestNewerFormatIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	header := appendHeader(nil, [16]byte{1})[:headerSize-4]
	header[4] = formatVersion + 1
	header = binary.LittleEndian.AppendUint32(header, crc32.Checksum(header, castagnoli))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0000000000000001.wal"), append(header, "future"...), 0o600))
	_, err := New(nopStore{}, &Options{Dir: dir})
	require.ErrorIs(t, err, errNewVersion)
	require.FileExists(t, filepath.Join(dir, "0000000000000001.wal"))
}

type nopStore struct{}

func (nopStore) Insert(context.Context, Batch) error         { return nil }
func (nopStore) Query(context.Context, Query) ([]Row, error) { return nil, nil }

func FuzzReadRecords(f *testing.F) {
	good := appendFrame(appendFrame(nil, testRecord(1)), testRecord(2))
	f.Add(good, 10)
	f.Add(append([]byte("junk"), good...), 1)
	f.Add(good[:len(good)-1], 10)
	f.Add([]byte{frameMark0, frameMark1, kindRecord, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 3)
	f.Add(appendFrame(nil, Record{}), 1)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		for _, final := range []bool{true, false} {
			records, stop, damaged := readRecords(b, limit, len(b), final)
			require.LessOrEqual(t, stop, len(b))
			require.LessOrEqual(t, damaged, stop)
			if final && limit > len(b) {
				require.Equal(t, len(b), stop)
			}
			// What was read is what would be written.
			var again []byte
			for _, r := range records {
				again = appendFrame(again, r)
			}
			back, _, lost := readRecords(again, len(records), len(again), true)
			require.Equal(t, len(records), len(back))
			require.Zero(t, lost)
		}
	})
}

func FuzzParseLedger(f *testing.F) {
	whole := appendEntry(appendEntry(appendEntry(nil, 100, entrySealed), 200, entrySealed), 100, entrySettled)
	f.Add(whole, int64(500))
	f.Add(whole[:40], int64(500))
	f.Add(whole, int64(150))
	f.Add(appendEntry(whole, 100, entrySettled), int64(500))
	f.Add(appendEntry(appendEntry(nil, 100, entrySealed), 50, entrySealed), int64(500))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		settled, seals, good := parseLedger(b, size)
		require.LessOrEqual(t, good, len(b))
		require.GreaterOrEqual(t, settled, int64(headerSize))
		ends := append([]int64{settled}, seals...)
		require.True(t, slices.IsSorted(ends))
		require.Len(t, slices.Compact(slices.Clone(ends)), len(ends))
		if len(seals) > 0 {
			require.LessOrEqual(t, seals[len(seals)-1], size)
		}
	})
}

func TestLedgerKeepsBoundariesWhenAnEntryIsMissing(t *testing.T) {
	t.Parallel()
	b := appendEntry(nil, 100, entrySealed)
	b = appendEntry(b, 200, entrySealed)
	b = appendEntry(b, 300, entrySealed)
	b = appendEntry(b, 200, entrySettled) // that of 100 could not be written
	settled, seals, good := parseLedger(b, 1000)
	require.EqualValues(t, 200, settled)
	require.Equal(t, []int64{300}, seals)
	require.Equal(t, len(b), good)
}

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	var ids []string
	for range 100 {
		ids = append(ids, newID(now))
		now = now.Add(300 * time.Microsecond)
	}
	require.True(t, slices.IsSorted(ids))
	require.Len(t, slices.Compact(ids), 100)
}

func TestSnakeCase(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Plan": "plan", "UserID": "user_id", "HTTPStatus": "http_status", "MRR": "mrr", "A1B": "a1_b", "Snake_Case": "snake_case",
	} {
		require.Equal(t, want, snake(in))
	}
}
