package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// shape is a unit that writes the note body once and, if event is set, emits an event with it.
type shape struct {
	name  string
	event bool // or an audit entry: something by which a lost COMMIT is resolved
	opts  tenancy.TxOptions
	one   bool // a statement of its own instead of fn
	hand  bool // begun and ended by hand
	fn    func(ctx context.Context, tx *tenancy.Tx, body string) error
}

func exec(ctx context.Context, tx pgx.Tx, body string) error {
	_, err := tx.Exec(ctx, insertNote, body)
	return err
}

func readNotes(ctx context.Context, tx *tenancy.Tx) error {
	_, err := tenancy.All[note](ctx, tx, `select id, body from notes`)
	return err
}

var shapes = []shape{
	{name: "one statement", one: true},
	{name: "one statement, serializable", one: true, opts: tenancy.TxOptions{Isolation: pgx.Serializable, Timeout: time.Minute}},
	{name: "begun by hand", hand: true},
	{name: "all deferred", fn: func(_ context.Context, tx *tenancy.Tx, body string) error {
		tx.Defer(insertNote, body)
		return nil
	}},
	{name: "all deferred, event", event: true, fn: func(_ context.Context, tx *tenancy.Tx, body string) error {
		tx.Defer(insertNote, body)
		tx.Emit(noteAdded{body})
		return nil
	}},
	{name: "all deferred, audit", event: true, fn: func(_ context.Context, tx *tenancy.Tx, body string) error {
		tx.Defer(insertNote, body)
		tx.Audit(tenancy.Audit{Action: "note.added", Subject: body})
		return nil
	}},
	{name: "statements", fn: func(ctx context.Context, tx *tenancy.Tx, body string) error {
		return errors.Join(exec(ctx, tx, body), readNotes(ctx, tx))
	}},
	{name: "statements, event", event: true, fn: func(ctx context.Context, tx *tenancy.Tx, body string) error {
		tx.Emit(noteAdded{body})
		return errors.Join(exec(ctx, tx, body), readNotes(ctx, tx))
	}},
	{name: "statements, audit in a savepoint", event: true, fn: func(ctx context.Context, tx *tenancy.Tx, body string) error {
		return pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
			tx.Audit(tenancy.Audit{Action: "note.added", Subject: body})
			return exec(ctx, sp, body)
		})
	}},
	{name: "read, modify, expect, event", event: true, fn: func(ctx context.Context, tx *tenancy.Tx, body string) error {
		n, err := tenancy.One[int64](ctx, tx, `insert into notes (body) values ('') returning id`)
		tx.DeferExpect(1, "note", `update notes set body = $2 where id = $1`, n, body)
		tx.Emit(noteAdded{body})
		return err
	}},
	{name: "position and lock", opts: tenancy.TxOptions{CommitLSN: new(tenancy.LSN)}, fn: func(ctx context.Context, tx *tenancy.Tx, body string) error {
		tx.Lock("notes")
		return exec(ctx, tx, body)
	}},
	{name: "position, event", event: true, opts: tenancy.TxOptions{CommitLSN: new(tenancy.LSN)}, fn: func(_ context.Context, tx *tenancy.Tx, body string) error {
		tx.Defer(insertNote, body)
		tx.Emit(noteAdded{body})
		return nil
	}},
	{name: "eager, event", event: true, opts: tenancy.TxOptions{Eager: true}, fn: func(ctx context.Context, tx *tenancy.Tx, body string) error {
		tx.Emit(noteAdded{body})
		return exec(ctx, tx, body)
	}},
	{name: "nested, event", event: true, fn: func(ctx context.Context, tx *tenancy.Tx, body string) error {
		_ = pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error { return errors.Join(exec(ctx, sp, body), errRefused) })
		return pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
			tx.Emit(noteAdded{body})
			return exec(ctx, sp, body)
		})
	}},
}

// runner executes a shape; the planted one is wrong on purpose.
type runner func(ctx context.Context, db *tenancy.DB, pool *pgxpool.Pool, s shape, body string) error

func byDo(ctx context.Context, db *tenancy.DB, _ *pgxpool.Pool, s shape, body string) error {
	opts := s.opts
	if opts.CommitLSN != nil {
		opts.CommitLSN = new(tenancy.LSN)
	}
	db = db.With(&opts)
	if s.one {
		_, err := tenancy.One[int64](ctx, db, `insert into notes (body) values ($1) returning id`, body)
		return err
	}
	if s.hand {
		return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error { return exec(ctx, tx, body) })
	}
	err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { return s.fn(ctx, tx, body) })
	if opts.CommitLSN != nil && err == nil && *opts.CommitLSN == 0 {
		return errors.New("committed without a position")
	}
	return err
}

// retryAll is what people write: run the transaction again when the connection failed.
func retryAll(ctx context.Context, _ *tenancy.DB, pool *pgxpool.Pool, _ shape, body string) (err error) {
	for range 3 {
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `select set_config('tenancy.tenant', 'acme', true)`); err != nil {
				return err
			}
			return exec(ctx, tx, body)
		})
		if err == nil {
			return nil
		}
	}
	return err
}

// bench is where faults are injected.
type bench struct {
	run     runner
	cut     *cutter
	pool    *pgxpool.Pool // through the cutter
	db      *tenancy.DB   // on that pool
	app     *pgxpool.Pool // past it
	direct  *tenancy.DB
	kinds   []*faulty
	wrong   []string // the runs in which the caller's answer does not match what the database holds
	unknown map[string]int
	faults  int
}

func newBench(t *testing.T, run runner) *bench {
	_, pg := open(t)
	b := &bench{run: run, unknown: map[string]int{}, app: pg.App, cut: newCutter(t, addrOf(t, pg.AppURL))}
	b.pool = through(t, pg.AppURL, b.cut.addr)
	var err error
	b.db, err = tenancy.New(b.pool, nil)
	require.NoError(t, err)
	b.direct, err = tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	b.kinds = []*faulty{{name: "cut before"}, {name: "cut after", answer: true}}
	return b
}

// everywhere injects each kind of fault at each message of each shape, on a new connection and on one that has prepared all
// statements.
func (b *bench) everywhere(t *testing.T, shapes []shape, warmth ...bool) {
	for _, s := range shapes {
		for _, kind := range b.kinds {
			for _, warm := range warmth {
				for message, reached := int64(1), true; reached; message++ {
					body := fmt.Sprintf("%s, %s message %d, warm %v", s.name, kind.name, message, warm)
					reached = b.once(t, s, kind, message, warm, body)
				}
			}
		}
	}
}

func (b *bench) once(t *testing.T, s shape, kind *faulty, message int64, warm bool, body string) (reached bool) {
	ctx := tenancy.WithID(t.Context(), "acme")
	b.pool.Reset()
	if warm {
		require.NoError(t, b.run(ctx, b.db, b.pool, s, "warm "+body))
	}
	b.cut.fault.Store(kind)
	b.cut.left.Store(message)
	err := b.run(ctx, b.db, b.pool, s, body)
	b.faults++
	reached = b.cut.left.Swap(0) <= 0
	b.cut.busy.Lock() // until a strike is over
	b.cut.busy.Unlock()
	b.judge(t, ctx, s, body, err)
	return reached
}

func (b *bench) judge(t *testing.T, ctx context.Context, s shape, body string, err error) {
	notes, qerr := tenancy.One[int](ctx, b.direct, `select count(*)::int from notes where body = $1`, body)
	require.NoError(t, qerr)
	traces, qerr := tenancy.One[int](tenancy.System(ctx, "test"), b.direct, `select (select count(*) from tenancy.outbox where key = $1)::int
		+ (select count(*) from tenancy.audit where subject = $1)::int`, body)
	require.NoError(t, qerr)
	if errors.Is(err, tenancy.ErrCommitUnknown) {
		b.unknown[s.name]++
	} else if (err == nil) != (notes == 1) {
		b.wrong = append(b.wrong, fmt.Sprintf("%s: %d rows, error %v", body, notes, err))
	}
	if notes > 1 || s.event && traces != notes {
		b.wrong = append(b.wrong, fmt.Sprintf("%s: %d rows, %d traces, error %v", body, notes, traces, err))
	}
}

func TestAnswerMatchesDatabaseWhereverTheConnectionIsCut(t *testing.T) {
	t.Parallel()
	b := newBench(t, byDo)
	b.everywhere(t, shapes, false, true)
	require.Empty(t, b.wrong)
	t.Logf("%d faults, answers unknown: %v", b.faults, b.unknown)
	// Without an event a lost COMMIT cannot be resolved. With one it can, except when the whole unit was one message, which
	// may still be on its way.
	for _, s := range shapes {
		switch s.name {
		case "all deferred, event", "all deferred, audit", "position, event":
			require.NotZero(t, b.unknown[s.name], s.name)
			require.Less(t, b.unknown[s.name], b.unknown["all deferred"], s.name)
		default:
			require.Equal(t, !s.event, b.unknown[s.name] > 0, s.name)
		}
	}
}

func TestPlantedRetryIsFound(t *testing.T) {
	t.Parallel()
	b := newBench(t, retryAll)
	b.everywhere(t, shapes[:1], false)
	require.NotEmpty(t, b.wrong, "a retry that ignores the lost COMMIT answer must be noticed")
}

// TestAnswerMatchesDatabaseWhenTheBackendIsKilled ends the backend before and while it works on each message.
func TestAnswerMatchesDatabaseWhenTheBackendIsKilled(t *testing.T) {
	t.Parallel()
	b := newBench(t, byDo)
	kill := func() { // what came through the proxy, and wait until it is gone
		_, err := b.app.Exec(context.Background(), `select pg_terminate_backend(pid, 5000) from pg_stat_activity
			where datname = current_database() and application_name = 'proxied'`)
		require.NoError(t, err)
	}
	b.kinds = []*faulty{{name: "kill before", strike: kill}}
	for i := range testenv.Rounds(1, 20) {
		b.kinds = append(b.kinds, &faulty{name: fmt.Sprint("kill during, round ", i), strike: kill, during: true})
	}
	b.everywhere(t, shapes, true)
	require.Empty(t, b.wrong)
	t.Logf("%d faults, answers unknown: %v", b.faults, b.unknown)
}

// TestReplicaReadsSurviveCuts cuts at each message towards the replica: the primary answers instead, and never an error.
func TestReplicaReadsSurviveCuts(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, 0)
	cut := newCutter(t, addrOf(t, r.Replica.AppURL))
	replica := through(t, r.Replica.AppURL, cut.addr)
	db, err := tenancy.New(r.App, &tenancy.Options{Replicas: []*pgxpool.Pool{replica}})
	require.NoError(t, err)
	ctx := tenancy.WithID(t.Context(), "acme")
	var at tenancy.LSN
	require.NoError(t, db.With(&tenancy.TxOptions{CommitLSN: &at}).Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(insertNote, "x")
		return nil
	}))
	reader := db.With(&tenancy.TxOptions{Replica: true, After: at})
	for name, read := range map[string]func() (int, error){
		"statement": func() (int, error) { return tenancy.One[int](ctx, reader, `select count(*)::int from notes`) },
		"unit": func() (n int, err error) {
			err = reader.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				if err := readNotes(ctx, tx); err != nil {
					return err
				}
				n, err = tenancy.One[int](ctx, tx, `select count(*)::int from notes`)
				return err
			})
			return n, err
		},
	} {
		for _, kind := range []*faulty{{name: "cut before"}, {name: "cut after", answer: true}} {
			messages := 0
			for message, reached := int64(1), true; reached; message++ {
				replica.Reset()
				// A DB of its own for each cut: one that has found the replica dead leaves it alone for a while.
				db, err := tenancy.New(r.App, &tenancy.Options{Replicas: []*pgxpool.Pool{replica}})
				require.NoError(t, err)
				reader = db.With(&tenancy.TxOptions{Replica: true, After: at})
				cut.fault.Store(kind)
				cut.left.Store(message)
				n, err := read()
				reached = cut.left.Swap(0) == 0
				require.NoError(t, err, "%s, %s message %d", name, kind.name, message)
				require.Equal(t, 1, n)
				if reached {
					messages++
				}
			}
			require.GreaterOrEqual(t, messages, 3, "%s, %s: connecting, preparing, reading", name, kind.name)
		}
	}
}
