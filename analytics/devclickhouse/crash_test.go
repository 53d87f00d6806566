package devclickhouse_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
)

// TestKilledEngineLosesAndDoublesNothing kills the engine again and again while
// writers send batches. A batch whose answer was lost is sent again with the
// same token. That alone is not enough: ClickHouse writes a token to its log
// before the part is in place, and a kill between the two makes it drop the
// repetition of a batch that it does not have. So the writer looks whether the
// batch is there, and if not sends it with a new token.
func TestKilledEngineLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	const writers = 4
	batches, kills := testenv.Rounds(24, 60), testenv.Rounds(2, 5)
	dir := t.TempDir()
	e, err := startEngine(dir, "127.0.0.1:0")
	require.NoError(t, err)
	addr := e.addr
	post(t, addr, "", "CREATE TABLE default.w (writer UInt8, batch UInt32, n UInt32) ENGINE = MergeTree ORDER BY (writer, batch, n) SETTINGS non_replicated_deduplication_window = 10000")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	ws := make([]*writer, writers)
	var done atomic.Int64
	var killed atomic.Bool
	for id := range ws {
		ws[id] = &writer{conn: connect(t, addr, "default", nil), id: id}
		wg.Go(func() {
			for batch := 0; batch < batches || !killed.Load(); batch++ { // so that each kill hits writers at work
				if err := ws[id].deliver(ctx, batch); err != nil {
					t.Errorf("writer %d: the time is over: %v", id, err)
					return
				}
				done.Add(1)
			}
		})
	}
	for kill := range kills {
		// A kill every so many batches, at a random moment of the next.
		due := int64((kill + 1) * writers * batches / (kills + 1))
		require.Eventually(t, func() bool { return done.Load() >= due }, time.Minute, time.Millisecond)
		<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
		e.kill()
		e, err = startEngine(dir, addr)
		require.NoError(t, err)
	}
	killed.Store(true)
	wg.Wait()
	require.GreaterOrEqual(t, done.Load(), int64(writers*batches))
	failed, orphans := 0, 0
	for _, w := range ws {
		failed, orphans = failed+w.failed, orphans+w.orphans
	}
	t.Logf("%d sends failed; %d tokens were logged without their data", failed, orphans)
	require.Positive(t, failed, "no kill hit a writer")
	want := fmt.Sprintf("%d\t%d\n", done.Load()*batchRows, done.Load()*batchRows)
	require.Equal(t, want, post(t, addr, "", "SELECT count(), uniqExact(writer, batch, n) FROM default.w"))
	require.NoError(t, e.stop())
}

const batchRows = 500

// writer sends batches until they are stored.
type writer struct {
	conn            driver.Conn
	id              int
	failed, orphans int
}

func (w *writer) deliver(ctx context.Context, batch int) error {
	token, unsure := fmt.Sprintf("%d/%d", w.id, batch), false
	for {
		err := w.send(ctx, token, batch)
		if err == nil && unsure {
			var n uint64
			err = w.conn.QueryRow(ctx, "SELECT count() FROM w WHERE writer = ? AND batch = ?", w.id, batch).Scan(&n)
			if err == nil && n == 0 {
				w.orphans++
				token += "+"
				continue
			}
		}
		if err == nil {
			return nil
		}
		w.failed++
		unsure = true
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (w *writer) send(ctx context.Context, token string, batch int) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token, "async_insert": 0}))
	b, err := w.conn.PrepareBatch(ctx, "INSERT INTO w")
	if err != nil {
		return err
	}
	for n := range batchRows {
		if err := b.Append(uint8(w.id), uint32(batch), uint32(n)); err != nil {
			return err
		}
	}
	return b.Send()
}

func TestRunDrains(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e, err := startEngine(dir, "127.0.0.1:0")
	require.NoError(t, err)
	addr := e.addr
	post(t, addr, "", "CREATE TABLE default.kept (n UInt64) ENGINE = MergeTree ORDER BY n")
	post(t, addr, "", "INSERT INTO default.kept VALUES (42)")
	ask := func(sql, like string) <-chan string {
		answer := make(chan string, 1)
		go func() {
			res, err := http.Post("http://"+addr+"/", "", strings.NewReader(sql))
			if err != nil {
				answer <- err.Error()
				return
			}
			res.Body.Close()
			answer <- res.Status
		}()
		require.Eventually(t, func() bool {
			// A short one may be over before it is seen.
			return len(answer) == 1 || post(t, addr, "", "SELECT count() FROM system.processes WHERE query LIKE 'SELECT "+like+"%'") == "1\n"
		}, time.Minute, time.Millisecond)
		return answer
	}
	long := ask("SELECT sum(sipHash64(number)) FROM numbers(1e15)", "sum(")
	short := ask("SELECT sleep(0.2)", "sleep(")
	require.NoError(t, e.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, "200 OK", <-short, "the short query was not finished")
	require.Equal(t, "500 Internal Server Error", <-long, "the long query was not killed")
	require.NoError(t, e.cmd.Wait())

	e, err = startEngine(dir, addr)
	require.NoError(t, err)
	require.Equal(t, "42\n", post(t, addr, "", "SELECT n FROM default.kept"))
	require.NoError(t, e.stop())
}

func TestDirectoryInUseIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e, err := startEngine(dir, "127.0.0.1:0")
	require.NoError(t, err)
	_, err = startEngine(dir, "127.0.0.1:0")
	require.Error(t, err)
	_, err = startEngine(t.TempDir(), e.addr)
	require.Error(t, err, "the port was taken")
	post(t, e.addr, "", "SELECT 1")
	require.NoError(t, e.stop())
}
