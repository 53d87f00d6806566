package main

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// counted is the event of the read-modify-write.
type counted struct{ ID int }

func (counted) EventType() string { return "bench.counted" }

// benchTenancy compares units of work with what one writes by hand on pgx.
func benchTenancy(ctx context.Context, l *lab) error {
	own, err := fs.Sub(sqlFiles, "sql")
	if err != nil {
		return err
	}
	owner, err := pgxpool.New(ctx, l.pg.OwnerURL)
	if err != nil {
		return err
	}
	defer owner.Close()
	if _, err := migrate.Up(ctx, owner, []migrate.Source{{Name: "tenancy", FS: tenancy.Migrations}, {Name: "bench", FS: own}}, nil); err != nil {
		return err
	}
	direct, err := pgxpool.New(ctx, l.pg.AppURL)
	if err != nil {
		return err
	}
	defer direct.Close()
	seal, err := tenancy.NewSeal("bench", make([]byte, 32))
	if err != nil {
		return err
	}
	// Optional, so that sealed and unsealed units meet in the same database.
	if err := tenancy.InstallSeal(ctx, owner, seal, &tenancy.SealOptions{Optional: true}); err != nil {
		return err
	}
	db, err := tenancy.New(direct, &tenancy.Options{Seal: seal})
	if err != nil {
		return err
	}
	unsealed, err := tenancy.New(direct, nil)
	if err != nil {
		return err
	}
	ctx = tenancy.WithID(ctx, "bench")
	if err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `insert into bench.counters (id, n) select g, 0 from generate_series(1, 1000) g on conflict do nothing`)
		return err
	}); err != nil {
		return err
	}

	read := func(db *tenancy.DB) call {
		return func(ctx context.Context, i int) error {
			_, err := tenancy.One[int](ctx, db, `select n from bench.counters where id = $1`, i%1000+1)
			return err
		}
	}
	if err := l.paired(ctx, "tenancy.read_latency_sealed_vs_unsealed", read(db), read(unsealed)); err != nil {
		return err
	}

	// The latency of a sealed read against the bare statement without any tenancy.
	err = l.paired(ctx, "tenancy.read_latency_vs_bare", read(db), func(ctx context.Context, i int) error {
		var n int
		return direct.QueryRow(ctx, `select n from bench.bare where id = $1`, i%1000+1).Scan(&n)
	})
	if err != nil {
		return err
	}

	if err := benchBulk(ctx, l, db, direct); err != nil {
		return err
	}

	// Read-modify-write with an event, over a network of 2 ms.
	slow, err := l.slowPool(ctx, direct, 2*time.Millisecond)
	if err != nil {
		return err
	}
	defer slow.Close()
	slowDB, err := tenancy.New(slow, &tenancy.Options{Seal: seal})
	if err != nil {
		return err
	}
	ours := timed(100, func(ctx context.Context, i int) error { return rmwOurs(ctx, slowDB, i%1000+1) })
	if err := l.ratio(ctx, "tenancy.rmw_2ms_latency_vs_classic", ours,
		timed(100, func(ctx context.Context, i int) error { return rmwClassic(ctx, slow, i%1000+1) })); err != nil {
		return err
	}
	trm, err := newTRM(slow)
	if err != nil {
		return err
	}
	return l.ratio(ctx, "tenancy.rmw_2ms_latency_vs_trm", ours,
		timed(100, func(ctx context.Context, i int) error { return trm.rmw(ctx, i%1000+1) }))
}

// slowPool connects through a proxy that delays.
func (l *lab) slowPool(ctx context.Context, direct *pgxpool.Pool, delay time.Duration) (*pgxpool.Pool, error) {
	cfg := direct.Config().Copy()
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return delayed(c, delay), err
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

func rmwOurs(ctx context.Context, db *tenancy.DB, id int) error {
	return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		n, err := tenancy.One[int](ctx, tx, `select n from bench.counters where id = $1 for update`, id)
		if err != nil {
			return err
		}
		tx.Defer(`update bench.counters set n = $2 where id = $1`, id, n+1)
		tx.Emit(counted{ID: id})
		return nil
	})
}

// rmwClassic is what a careful program does without this library: the same
// rows, the same policy, the same event.
func rmwClassic(ctx context.Context, pool *pgxpool.Pool, id int) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return rmwStatements(ctx, tx, id)
	})
}

// rmwStatements are the statements of a read-modify-write, one by one.
func rmwStatements(ctx context.Context, tx interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, id int) error {
	if _, err := tx.Exec(ctx, `select set_config('tenancy.tenant', $1, true)`, "bench"); err != nil {
		return err
	}
	var n int
	if err := tx.QueryRow(ctx, `select n from bench.counters where id = $1 for update`, id).Scan(&n); err != nil {
		return err
	}
	_, err1 := tx.Exec(ctx, `update bench.counters set n = $2 where id = $1`, id, n+1)
	_, err2 := tx.Exec(ctx, `insert into tenancy.outbox (id, tenant_id, type, key, payload) values (gen_random_uuid(), $1, $2, '', $3)`,
		"bench", "bench.counted", []byte(`{}`))
	return errors.Join(err1, err2)
}

// timed returns the mean seconds of n calls after a tenth to warm up.
func timed(n int, call func(context.Context, int) error) measure {
	return func(ctx context.Context) (float64, error) {
		var start time.Time
		for i := range n + n/10 {
			if i == n/10 {
				start = time.Now()
			}
			if err := call(ctx, i); err != nil {
				return 0, err
			}
		}
		return time.Since(start).Seconds() / float64(n), nil
	}
}
