package analytics_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

func open(t testing.TB, store analytics.Store, dir string) *analytics.Analytics {
	t.Helper()
	a, err := analytics.New(store, &analytics.Options{Dir: dir, Logger: quiet, BatchSize: 10})
	require.NoError(t, err)
	return a
}

// segments returns the data files of a log in order.
func segments(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	require.NoError(t, err)
	return names
}

// edit rewrites a file.
func edit(t testing.TB, name string, change func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, change(content), 0o600))
}

func TestNextProcessDeliversWhatIsLeft(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), analyticstest.NewStore()
	for round := range 3 {
		a := open(t, store, dir)
		require.EqualValues(t, round*25, a.Stats().Backlog)
		track(t, a, round*25, round*25+25)
		require.NoError(t, a.Close())
	}
	require.Len(t, segments(t, dir), 3)
	a := open(t, store, dir)
	require.NoError(t, a.Flush(t.Context()))
	require.Zero(t, a.Stats().Backlog)
	require.Zero(t, a.Stats().BacklogBytes)
	require.Equal(t, upTo(75), seats(t, store))
	require.Empty(t, segments(t, dir))
	require.NoError(t, a.Close())
}

func TestResentBatchIsTheSameBatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	store := &recorder{Store: analyticstest.NewStore(), after: cancel}
	a := open(t, store, dir)
	track(t, a, 0, 14)
	store.LoseAnswers(1)
	require.Error(t, a.Flush(ctx), "one attempt, whose answer is lost")
	// More events arrive and limits change before the process that had the unknown outcome is followed by another.
	track(t, a, 14, 30)
	require.NoError(t, a.Close())
	a, err := analytics.New(store, &analytics.Options{Dir: dir, Logger: quiet, BatchSize: 25})
	require.NoError(t, err)
	require.NoError(t, a.Flush(t.Context()))
	require.NoError(t, a.Close())
	require.Equal(t, store.batches[0], store.batches[1], "the same token and the same records")
	require.Equal(t, upTo(30), seats(t, store.Store))
}

func TestDeliveredEventsAreNotReadAgain(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), analyticstest.NewStore()
	a := open(t, store, dir)
	track(t, a, 0, 35)
	require.NoError(t, a.Flush(t.Context()))
	require.NoError(t, a.Close())
	sent := len(store.Attempts())
	a = open(t, store, dir)
	require.Zero(t, a.Stats().Tracked)
	require.NoError(t, a.Flush(t.Context()))
	require.Len(t, store.Attempts(), sent)
	track(t, a, 35, 36)
	require.NoError(t, a.Flush(t.Context()))
	require.Len(t, segments(t, dir), 1, "the delivered segment is gone")
	require.NoError(t, a.Close())
	require.Equal(t, upTo(36), seats(t, store))
}

func TestTornLedgerMeansTheSameTokensAgain(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), analyticstest.NewStore()
	a := open(t, store, dir)
	track(t, a, 0, 35)
	require.NoError(t, a.Flush(t.Context()))
	require.NoError(t, a.Close())
	// The last entry, "delivered", is torn: that batch goes out again, and the store knows its token.
	const entries = 2 * 4
	edit(t, strings.TrimSuffix(segments(t, dir)[0], ".wal")+".log", func(b []byte) []byte { return b[:16*entries-5] })
	a = open(t, store, dir)
	require.EqualValues(t, 5, a.Stats().Backlog)
	require.NoError(t, a.Flush(t.Context()))
	require.NoError(t, a.Close())
	tokens := store.Attempts()
	require.Equal(t, tokens[len(tokens)-2], tokens[len(tokens)-1])
	require.Equal(t, upTo(35), seats(t, store))
}

// Other boundaries need other tokens, or a store would take the new batch for the one it has and drop the rest of it.
func TestLostLedgerCostsRepeatsAndNoEvents(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), analyticstest.NewStore()
	a := open(t, store, dir)
	track(t, a, 0, 3)
	require.NoError(t, a.Flush(t.Context()))
	track(t, a, 3, 10)
	require.NoError(t, a.Close())
	edit(t, strings.TrimSuffix(segments(t, dir)[0], ".wal")+".log", func([]byte) []byte { return nil })
	a = open(t, store, dir)
	require.NoError(t, a.Flush(t.Context()))
	require.NoError(t, a.Close())
	require.Equal(t, append(upTo(3), upTo(10)...), seats(t, store), "a store that collapses ids keeps each once")
}

func TestTornTailIsIgnored(t *testing.T) {
	t.Parallel()
	for _, tail := range [][]byte{{0xA5}, {0xA5, 0x1E, 1, 0, 10, 0, 0, 0, 1, 2, 3, 4, 'x'}, make([]byte, 4096), bytes.Repeat([]byte{0xA5, 0x1E}, 999)} {
		dir, store := t.TempDir(), analyticstest.NewStore()
		a := open(t, store, dir)
		track(t, a, 0, 5)
		require.NoError(t, a.Close())
		edit(t, segments(t, dir)[0], func(b []byte) []byte { return append(b, tail...) })
		a = open(t, store, dir)
		track(t, a, 5, 10)
		require.NoError(t, a.Flush(t.Context()))
		require.Equal(t, upTo(10), seats(t, store))
		require.Zero(t, a.Stats().Damaged)
		require.NoError(t, a.Close())
	}
}

func TestDamageCostsOnlyWhatItHit(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), analyticstest.NewStore()
	a := open(t, store, dir)
	track(t, a, 0, 30)
	require.NoError(t, a.Close())
	edit(t, segments(t, dir)[0], func(b []byte) []byte {
		b[bytes.Index(b, []byte(`"seats":7}`))] ^= 1
		return b
	})
	reports := &reporter{}
	a, err := analytics.New(store, &analytics.Options{Dir: dir, Logger: quiet, Errors: reports, Metrics: reports})
	require.NoError(t, err)
	require.NoError(t, a.Flush(t.Context()))
	require.EqualValues(t, a.Stats().Damaged, reports.counts["analytics.damaged"])
	require.Equal(t, slices.DeleteFunc(upTo(30), func(n int) bool { return n == 7 }), seats(t, store))
	require.Positive(t, a.Stats().Damaged)
	require.Len(t, reports.errs, 1)
	require.NoError(t, a.Close())
}

func TestDamageWhileRunningLeavesNoBacklog(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), analyticstest.NewStore()
	a := open(t, store, dir)
	track(t, a, 0, 30)
	edit(t, segments(t, dir)[0], func(b []byte) []byte {
		b[bytes.Index(b, []byte(`"seats":7}`))] ^= 1
		return b
	})
	require.NoError(t, a.Flush(t.Context()))
	require.Len(t, seats(t, store), 29)
	require.Zero(t, a.Stats().Backlog)
	require.Zero(t, a.Stats().BacklogBytes)
	require.NoError(t, a.Close())
}

func TestUnreadableSegments(t *testing.T) {
	t.Parallel()
	prepare := func(t *testing.T, change func([]byte) []byte) (string, *analyticstest.Store) {
		dir, store := t.TempDir(), analyticstest.NewStore()
		a := open(t, store, dir)
		track(t, a, 0, 3)
		require.NoError(t, a.Close())
		edit(t, segments(t, dir)[0], change)
		return dir, store
	}
	t.Run("a crash while it was created", func(t *testing.T) {
		t.Parallel()
		dir, store := prepare(t, func(b []byte) []byte { return b[:11] })
		a := open(t, store, dir)
		track(t, a, 0, 1)
		require.NoError(t, a.Flush(t.Context()))
		require.NoError(t, a.Close())
		require.Len(t, store.Records(), 1)
	})
	t.Run("a damaged header", func(t *testing.T) {
		t.Parallel()
		dir, store := prepare(t, func(b []byte) []byte { b[0]++; return b })
		reports := &reporter{}
		a, err := analytics.New(store, &analytics.Options{Dir: dir, Logger: quiet, Errors: reports})
		require.NoError(t, err)
		require.Positive(t, a.Stats().Damaged)
		require.Len(t, reports.errs, 1)
		require.NoError(t, a.Close())
		kept, err := filepath.Glob(filepath.Join(dir, "dead", "*.wal"))
		require.NoError(t, err)
		require.Len(t, kept, 1, "kept for a human")
	})
	t.Run("not ours", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.wal"), []byte("hello"), 0o600))
		require.NoError(t, open(t, analyticstest.NewStore(), dir).Close())
		require.FileExists(t, filepath.Join(dir, "notes.wal"))
	})
}

func TestDirHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := open(t, analyticstest.NewStore(), dir)
	_, err := analytics.New(analyticstest.NewStore(), &analytics.Options{Dir: dir})
	require.ErrorContains(t, err, "Options.Dir")
	require.NoError(t, a.Close())
	require.NoError(t, open(t, analyticstest.NewStore(), dir).Close())

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = analytics.New(analyticstest.NewStore(), &analytics.Options{Dir: file})
	require.ErrorContains(t, err, "Options.Dir")
}

func TestConcurrentTracksShareTheDisk(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), analyticstest.NewStore()
	a, err := analytics.New(store, &analytics.Options{Dir: dir})
	require.NoError(t, err)
	stop := start(t, a)
	var wg sync.WaitGroup
	for w := range 40 {
		wg.Go(func() {
			for i := range 50 {
				if err := SignedUp.Track(t.Context(), a, SignUp{Seats: w*50 + i, Plan: strings.Repeat("x", 10_000)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 2000, a.Stats().Tracked)
	require.NoError(t, a.Flush(t.Context()))
	require.NoError(t, stop())
	got := seats(t, store)
	slices.Sort(got)
	require.Equal(t, upTo(2000), got, "20 MB went over a segment border")
	require.Len(t, segments(t, dir), 1)
	require.NoError(t, a.Close())
}

func TestDeadEventsAreKeptAsJSON(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), analyticstest.NewStore()
	a := open(t, store, dir)
	store.Refuse(func(r analytics.Record) bool { return bytes.Contains(r.Props, []byte("poison")) })
	track(t, a, 0, 3)
	require.NoError(t, SignedUp.Track(t.Context(), a, SignUp{Plan: "poison", Seats: 3}))
	require.NoError(t, a.Flush(t.Context()))
	require.NoError(t, a.Close())
	require.Equal(t, upTo(3), seats(t, store))
	files, err := filepath.Glob(filepath.Join(dir, "dead", "*.jsonl"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	content, err := os.ReadFile(files[0])
	require.NoError(t, err)
	var dead struct {
		analytics.Record
		Error string
	}
	require.NoError(t, json.Unmarshal(content, &dead))
	v, err := SignedUp.Decode(dead.Record)
	require.NoError(t, err)
	require.Equal(t, SignUp{Plan: "poison", Seats: 3}, v)
	require.Contains(t, dead.Error, "rejected")
}

// FuzzLogSurvivesDamage overwrites or appends arbitrary bytes at an arbitrary place of a data file: the log opens,
// events in front of that place are delivered, in order and once, and nothing is invented.
func FuzzLogSurvivesDamage(f *testing.F) {
	f.Add(uint16(0), []byte{})
	f.Add(uint16(28), []byte{0})
	f.Add(uint16(40), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint16(200), []byte{0xA5, 0x1E, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint16(900), bytes.Repeat([]byte{0xA5, 0x1E, 1, 0}, 300))
	f.Add(uint16(65535), []byte("garbage at the end"))
	dir := f.TempDir()
	a := open(f, analyticstest.NewStore(), dir)
	var ends []int
	for i := range 12 {
		require.NoError(f, SignedUp.Track(f.Context(), a, SignUp{Seats: i}))
		info, err := os.Stat(segments(f, dir)[0])
		require.NoError(f, err)
		ends = append(ends, int(info.Size()))
	}
	require.NoError(f, a.Close())
	whole, err := os.ReadFile(segments(f, dir)[0])
	require.NoError(f, err)

	f.Fuzz(func(t *testing.T, at uint16, damage []byte) {
		dir, store := t.TempDir(), analyticstest.NewStore()
		start := min(int(at), ends[11])
		hurt := append(append(slices.Clone(whole[:start]), damage...), whole[min(start+len(damage), len(whole)):]...)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "0000000000000001.wal"), hurt, 0o600))
		a, err := analytics.New(store, &analytics.Options{Dir: dir, Logger: quiet})
		if err != nil {
			require.ErrorContains(t, err, "newer version")
			return
		}
		require.NoError(t, a.Flush(t.Context()))
		require.NoError(t, a.Close())
		got := seats(t, store)
		require.True(t, slices.IsSorted(got))
		require.Equal(t, slices.Compact(slices.Clone(got)), got, "none twice")
		hit := func(i int) bool { // the event shares bytes with the damage
			begin := 28
			if i > 0 {
				begin = ends[i-1]
			}
			return start < ends[i] && start+len(damage) > begin
		}
		if start < 28 && len(damage) > 0 {
			return // the header is hit: the whole segment may be set aside
		}
		for i := range 12 {
			require.True(t, hit(i) || slices.Contains(got, i), "event %d is missing from %v", i, got)
		}
	})
}
