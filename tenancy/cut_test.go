package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
)

// cutter is a proxy that cuts one connection at one chosen message of the client.
type cutter struct {
	addr   string
	target string
	left   atomic.Int64 // client messages until the cut; 0 means never
	answer atomic.Bool  // cut when the server has answered that message, instead of before forwarding it
}

func newCutter(t *testing.T, target string) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{addr: l.Addr().String(), target: target}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(ctx, client) })
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); wg.Wait() })
	return c
}

func (c *cutter) serve(ctx context.Context, client net.Conn) {
	network := "tcp"
	if c.target[0] == '/' {
		network = "unix"
	}
	server, err := net.Dial(network, c.target)
	if err != nil {
		client.Close()
		return
	}
	hangUp := func() { client.Close(); server.Close() }
	defer context.AfterFunc(ctx, hangUp)()
	var swallow atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer hangUp()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || swallow.Load() { // the server has done it, the client never hears
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	defer wg.Wait()
	defer hangUp()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		goodbye := n == 5 && buf[0] == 'X' // the end of a connection that the pool was told to drop
		if !goodbye && c.left.Load() > 0 && c.left.Add(-1) == 0 {
			if !c.answer.Load() {
				return
			}
			swallow.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if swallow.Load() {
			wg.Wait()
			return
		}
	}
}

// shape is a unit that writes the note body once and, if event is set, emits an event with it.
type shape struct {
	name  string
	event bool
	fn    func(ctx context.Context, tx *tenancy.Tx, body string) error
}

var shapes = []shape{
	{"one batch", false, func(_ context.Context, tx *tenancy.Tx, body string) error {
		tx.Defer(insertNote, body)
		return nil
	}},
	{"one batch with event", true, func(_ context.Context, tx *tenancy.Tx, body string) error {
		tx.Defer(insertNote, body)
		tx.Emit(noteAdded{body})
		return nil
	}},
	{"three batches", false, func(ctx context.Context, tx *tenancy.Tx, body string) error {
		if _, err := tx.Exec(ctx, insertNote, body); err != nil {
			return err
		}
		_, err := tenancy.All[note](ctx, tx, `select id, body from notes`)
		return err
	}},
	{"three batches with event", true, func(ctx context.Context, tx *tenancy.Tx, body string) error {
		tx.Emit(noteAdded{body})
		if _, err := tx.Exec(ctx, insertNote, body); err != nil {
			return err
		}
		_, err := tenancy.All[note](ctx, tx, `select id, body from notes`)
		return err
	}},
	{"savepoints with event", true, func(ctx context.Context, tx *tenancy.Tx, body string) error {
		sp, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := sp.Exec(ctx, insertNote, body); err != nil {
			return errors.Join(err, sp.Rollback(ctx))
		}
		tx.Emit(noteAdded{body})
		return sp.Commit(ctx)
	}},
}

// runner executes a shape; the planted one is wrong on purpose.
type runner func(ctx context.Context, db *tenancy.DB, pool *pgxpool.Pool, s shape, body string) error

func byDo(ctx context.Context, db *tenancy.DB, _ *pgxpool.Pool, s shape, body string) error {
	return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { return s.fn(ctx, tx, body) })
}

// retryAll is what people write: run the transaction again when the connection failed.
func retryAll(ctx context.Context, _ *tenancy.DB, pool *pgxpool.Pool, _ shape, body string) (err error) {
	for range 3 {
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `select set_config('tenancy.tenant', 'acme', true)`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, insertNote, body)
			return err
		})
		if err == nil {
			return nil
		}
	}
	return err
}

// cutEverywhere cuts at each message of each shape, before the server sees it and after it has answered, on a new
// connection and on one that has prepared all statements. It returns the runs in which the caller's answer does not match
// what the database holds, and how often the answer was ErrCommitUnknown.
func cutEverywhere(t *testing.T, run runner, shapes []shape) (wrong []string, unknown map[string]int) {
	_, pg := open(t)
	cut := newCutter(t, addrOf(t, pg.AppURL))
	pool := through(t, pg.AppURL, cut.addr)
	db, err := tenancy.New(pool, nil)
	require.NoError(t, err)
	direct, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	ctx := tenancy.WithID(t.Context(), "acme")
	unknown = map[string]int{}
	for _, s := range shapes {
		for _, c := range []struct{ warm, answered bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
			for message, reached := int64(1), true; reached; message++ {
				body := fmt.Sprintf("%s, message %d, %+v", s.name, message, c)
				pool.Reset()
				if c.warm {
					require.NoError(t, run(ctx, db, pool, s, "warm "+body))
				}
				cut.answer.Store(c.answered)
				cut.left.Store(message)
				err := run(ctx, db, pool, s, body)
				reached = cut.left.Swap(0) == 0
				notes, qerr := tenancy.One[int](ctx, direct, `select count(*)::int from notes where body = $1`, body)
				require.NoError(t, qerr)
				events, qerr := tenancy.One[int](tenancy.System(ctx, "test"), direct, `select count(*)::int from tenancy.outbox where key = $1`, body)
				require.NoError(t, qerr)
				if errors.Is(err, tenancy.ErrCommitUnknown) {
					unknown[s.name]++
				} else if (err == nil) != (notes == 1) {
					wrong = append(wrong, fmt.Sprintf("%s: %d rows, error %v", body, notes, err))
				}
				if notes > 1 || s.event && events != notes {
					wrong = append(wrong, fmt.Sprintf("%s: %d rows, %d events, error %v", body, notes, events, err))
				}
			}
		}
	}
	return wrong, unknown
}

func TestAnswerMatchesDatabaseWhereverTheConnectionIsCut(t *testing.T) {
	t.Parallel()
	wrong, unknown := cutEverywhere(t, byDo, shapes)
	require.Empty(t, wrong)
	// Without an event a lost COMMIT cannot be resolved. With one it can, except when the whole unit was one message, which
	// may still be on its way.
	require.NotZero(t, unknown["one batch"])
	require.NotZero(t, unknown["three batches"])
	require.NotZero(t, unknown["one batch with event"])
	require.Less(t, unknown["one batch with event"], unknown["one batch"])
	require.Zero(t, unknown["three batches with event"])
	require.Zero(t, unknown["savepoints with event"])
}

func TestPlantedRetryIsFound(t *testing.T) {
	t.Parallel()
	wrong, _ := cutEverywhere(t, retryAll, shapes[:1])
	require.NotEmpty(t, wrong, "a retry that ignores the lost COMMIT answer must be noticed")
}
