package analytics_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// The test binary starts itself with these flags to be killed.
var (
	childDir   = flag.String("crash.dir", "", "track events for ever with a log in this directory (\"-\": in memory)")
	childStore = flag.String("crash.store", "", "file that is the store")
	childBase  = flag.Int("crash.base", 0, "number of the first event")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *childDir != "" {
		trackForEver()
	}
	os.Exit(m.Run())
}

// trackForEver tracks numbered events from eight goroutines and prints the number of each that was acknowledged.
func trackForEver() {
	opts := &analytics.Options{Dir: *childDir, BatchSize: 20, FlushInterval: time.Millisecond, Logger: quiet}
	if opts.Dir == "-" {
		opts = &analytics.Options{BatchSize: 1_000_000, FlushInterval: time.Hour, Logger: quiet} // nothing is sent in time
	}
	store := &fileStore{name: *childStore, lose: 1 + *childBase/1_000_000%2*10} // the first one or the eleventh
	a, err := analytics.New(store, opts)
	if err != nil {
		slog.Error("child", "error", err)
		os.Exit(1)
	}
	go a.Run(context.Background())
	var n atomic.Int64
	for range 8 {
		go func() {
			for {
				i := *childBase + int(n.Add(1))
				if err := SignedUp.Track(context.Background(), a, SignUp{Seats: i}); err != nil {
					slog.Error("child", "error", err)
					os.Exit(1)
				}
				os.Stdout.WriteString(strconv.Itoa(i) + "\n")
			}
		}()
	}
	select {}
}

// fileStore is a store that outlives the process: a line per insert that took effect. Insert number lose takes
// effect but fails, and then so does one of thirty, while another of thirty has no effect. Zero: nothing fails.
type fileStore struct {
	name    string
	lose    int
	inserts int
}

type insertLine struct {
	Token string
	Seats []int
	Sum   string // of the whole records
}

func (f *fileStore) Insert(_ context.Context, b analytics.Batch) error {
	fate := 2
	switch f.inserts++; {
	case f.inserts == f.lose:
		fate = 1
	case f.lose > 0:
		fate = rand.IntN(30)
	}
	if fate == 0 {
		return errors.New("not stored")
	}
	line := insertLine{Token: b.Token}
	for _, r := range b.Records {
		v, err := SignedUp.Decode(r)
		if err != nil {
			return err
		}
		line.Seats = append(line.Seats, v.Seats)
	}
	records, err := json.Marshal(b.Records)
	if err != nil {
		return err
	}
	line.Sum = fmt.Sprintf("%x", sha256.Sum256(records))
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(append(text, '\n')); err != nil { // one write: a kill leaves all of it or nothing
		return err
	}
	if fate == 1 {
		return errors.New("stored, but the answer is lost")
	}
	return nil
}

func (f *fileStore) Query(context.Context, analytics.Query) ([]analytics.Row, error) {
	return nil, errors.New("not needed")
}

// lines returns the inserts that took effect.
func (f *fileStore) lines(t *testing.T) []insertLine {
	content, err := os.ReadFile(f.name)
	require.NoError(t, err)
	var out []insertLine
	for text := range bytes.Lines(content) {
		var l insertLine
		require.NoError(t, json.Unmarshal(text, &l))
		out = append(out, l)
	}
	return out
}

// runAndKill runs a child until it acknowledged at least n events, kills it with SIGKILL, and returns the numbers it
// acknowledged.
func runAndKill(t *testing.T, dir, store string, base, n int) []int {
	cmd := exec.Command(os.Args[0], "-crash.dir="+dir, "-crash.store="+store, fmt.Sprint("-crash.base=", base))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var acked []int
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
		i, err := strconv.Atoi(strings.TrimSpace(line))
		require.NoError(t, err)
		if acked = append(acked, i); len(acked) == n {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait())
	require.GreaterOrEqual(t, len(acked), n, "the child ended by itself: %s", stderr.String())
	return acked
}

// audit compares what was acknowledged with what a store that honours tokens (or not) has.
func audit(acked []int, lines []insertLine, tokens bool) error {
	count, sums := map[int]int{}, map[string]string{}
	for _, l := range lines {
		if sum, seen := sums[l.Token]; tokens && seen {
			if sum != l.Sum {
				return fmt.Errorf("token %s came with two contents", l.Token)
			}
			continue
		}
		sums[l.Token] = l.Sum
		for _, i := range l.Seats {
			if count[i]++; count[i] > 1 {
				return fmt.Errorf("event %d is stored twice", i)
			}
		}
	}
	for _, i := range acked {
		if count[i] == 0 {
			return fmt.Errorf("event %d was acknowledged and is lost", i)
		}
	}
	return nil
}

func TestKilledProcessLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := &fileStore{name: filepath.Join(t.TempDir(), "store")}
	var acked []int
	for round := range testenv.Rounds(8, 300) {
		acked = append(acked, runAndKill(t, dir, store.name, round*1_000_000, 1+rand.IntN(1500))...)
	}
	a, err := analytics.New(store, &analytics.Options{Dir: dir, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, a.Flush(t.Context()))
	require.NoError(t, a.Close())
	require.Zero(t, a.Stats().Damaged)

	lines := store.lines(t)
	require.NoError(t, audit(acked, lines, true))
	require.ErrorContains(t, audit(acked, lines, false), "twice", "batches were repeated, so the tokens mattered")
	tokens := map[string]bool{}
	for _, l := range lines {
		tokens[l.Token] = true
	}
	t.Logf("%d acknowledged, 0 lost, 0 duplicated; %d of %d inserts were repeats", len(acked), len(lines)-len(tokens), len(lines))
}

// TestKillWithoutLogIsNoticed plants the fault that the test above exists for.
func TestKillWithoutLogIsNoticed(t *testing.T) {
	t.Parallel()
	store := &fileStore{name: filepath.Join(t.TempDir(), "store")}
	require.NoError(t, os.WriteFile(store.name, nil, 0o600))
	acked := runAndKill(t, "-", store.name, 0, 1000)
	require.ErrorContains(t, audit(acked, store.lines(t), true), "lost")
}
