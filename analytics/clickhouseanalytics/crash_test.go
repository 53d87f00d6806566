package clickhouseanalytics_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/clickhouseanalytics"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// The test binary starts itself with these flags to be killed.
var (
	childDir      = flag.String("crash.dir", "", "track events for ever with a log in this directory")
	childAddr     = flag.String("crash.addr", "", "address of ClickHouse")
	childDatabase = flag.String("crash.database", "", "database that has the tables")
	childBase     = flag.Int("crash.base", 0, "number of the first event")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *childDir != "" {
		if err := trackForEver(); err != nil {
			slog.Error("child", "error", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// trackForEver tracks numbered events into ClickHouse and prints the number of each that was acknowledged.
func trackForEver() error {
	conn, err := open(*childAddr, *childDatabase)
	if err != nil {
		return err
	}
	inner, err := clickhouseanalytics.New(conn, nil)
	if err != nil {
		return err
	}
	// Every other answer is lost, so that many batches are repeated, some of them by the next process.
	store := &unsure{Store: inner}
	go func() {
		for range time.Tick(time.Millisecond) {
			store.lost.Store(1)
		}
	}()
	a, err := analytics.New(store, &analytics.Options{Dir: *childDir, BatchSize: 50, FlushInterval: time.Millisecond, Logger: quiet})
	if err != nil {
		return err
	}
	go a.Run(context.Background())
	var n atomic.Int64
	failed := make(chan error)
	for range 8 {
		go func() {
			for {
				i := *childBase + int(n.Add(1))
				if err := signedUp.Track(context.Background(), a, signUp{At: noon.AddDate(0, -i%2, 0), N: i}); err != nil {
					failed <- err
					return
				}
				os.Stdout.WriteString(strconv.Itoa(i) + "\n")
			}
		}()
	}
	return <-failed
}

// runAndKill runs a child until it acknowledged n events, kills it with SIGKILL and returns their numbers.
func runAndKill(t *testing.T, ch *testenv.CH, dir string, base, n int) []uint64 {
	cmd := exec.Command(os.Args[0], "-crash.dir="+dir, "-crash.addr="+ch.Addr, "-crash.database="+ch.Database, fmt.Sprint("-crash.base=", base))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var acked []uint64
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
		i, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
		require.NoError(t, err)
		if acked = append(acked, i); len(acked) == n {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait())
	require.GreaterOrEqual(t, len(acked), n, "the child ended by itself: %s", stderr.String())
	return acked
}

func TestKilledProcessLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	ch := testenv.ClickHouse(t)
	conn := ch.Conn()
	store, err := clickhouseanalytics.New(conn, nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	// Merges collapse repeats by id; without them a repeat shows.
	require.NoError(t, conn.Exec(t.Context(), "SYSTEM STOP MERGES events"))
	dir := t.TempDir()
	var acked []uint64
	for round := range testenv.Rounds(5, 100) {
		acked = append(acked, runAndKill(t, ch, dir, round*1_000_000, 1+rand.IntN(1000))...)
	}
	a, err := analytics.New(store, &analytics.Options{Dir: dir, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, a.Flush(t.Context()))
	require.NoError(t, a.Close())

	var numbers []uint64
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT groupArray(toUInt64(props.n.:Int64)) FROM events").Scan(&numbers))
	slices.Sort(numbers)
	require.Equal(t, slices.Compact(slices.Clone(numbers)), numbers, "none is stored twice")
	for _, i := range acked {
		_, found := slices.BinarySearch(numbers, i)
		require.True(t, found, "event %d was acknowledged and is lost", i)
	}
	t.Logf("%d acknowledged, 0 lost, 0 duplicated among %d stored", len(acked), len(numbers))
}
