package migrate

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed ledger.sql
var ledgerSQL string

// Up applies the pending files of the sources, in the order given, and returns those that it applied or adopted, also when
// it then fails. The pool is the owner's.
func Up(ctx context.Context, pool *pgxpool.Pool, sources []Source, opts *Options) (applied []File, err error) {
	opts = opts.orDefault()
	sets, err := read(sources)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: connect: %w", err)
	}
	if opts.DryRun {
		defer conn.Release()
		return dryRun(ctx, conn.Conn(), sets, opts)
	}
	applied, err = up(ctx, conn.Conn(), sets, opts)
	conn.Release() // After may need it
	if err != nil || opts.After == nil {
		return applied, err
	}
	if err := opts.After(ctx, pool); err != nil {
		return applied, fmt.Errorf("migrate: check after migrating (%s): %w", stay(applied), err)
	}
	return applied, nil
}

// stay says what a failed check does not undo.
func stay(applied []File) string {
	if len(applied) == 0 {
		return "nothing was applied by this call"
	}
	var names []string
	for _, f := range applied {
		names = append(names, f.path())
	}
	return "applied and committed, they stay: " + strings.Join(names, ", ")
}

func up(ctx context.Context, c *pgx.Conn, sets []*set, opts *Options) (applied []File, err error) {
	log := logger(opts.Logger)
	if err := lock(ctx, c, log); err != nil {
		return nil, err
	}
	defer unlock(ctx, c)
	if _, err := c.Exec(ctx, ledgerSQL); err != nil {
		return nil, fmt.Errorf("migrate: create ledger: %w", err)
	}
	if err := look(ctx, c, sets, true); err != nil {
		return nil, err
	}
	for _, s := range sets {
		adopted, err := s.enter(ctx, c)
		if err != nil {
			return applied, err
		}
		applied = append(applied, adopted...)
		for _, f := range s.files {
			if !f.At.IsZero() {
				continue
			}
			if err := f.apply(ctx, c, opts); err != nil {
				return applied, err
			}
			log.InfoContext(ctx, "migrate: applied", "source", f.Source, "file", f.Name)
			applied = append(applied, f.File)
		}
	}
	return applied, nil
}

// Status returns all files of the sources in the order in which Up takes them; the ones with a zero At are what Up would
// apply, or adopt. It changes nothing and waits for nobody.
func Status(ctx context.Context, pool *pgxpool.Pool, sources []Source, _ *Options) ([]File, error) {
	sets, err := read(sources)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: connect: %w", err)
	}
	defer conn.Release()
	if err := look(ctx, conn.Conn(), sets, false); err != nil {
		return nil, err
	}
	var list []File
	for _, s := range sets {
		for _, f := range s.files {
			list = append(list, f.File)
		}
	}
	return list, nil
}

// dryRun runs the pending files in a transaction that it rolls back.
func dryRun(ctx context.Context, c *pgx.Conn, sets []*set, opts *Options) (applied []File, err error) {
	if err := look(ctx, c, sets, false); err != nil {
		return nil, err
	}
	defer func() { _, _ = c.PgConn().Exec(context.WithoutCancel(ctx), `rollback; reset role`).ReadAll() }()
	if _, err := c.Exec(ctx, `begin`); err != nil {
		return nil, fmt.Errorf("migrate: dry run: %w", err)
	}
	head := fmt.Sprintf("reset all; reset role; set local lock_timeout = %d; ", lockTimeout(opts.LockTimeout).Milliseconds())
	for _, s := range sets {
		for _, f := range s.files {
			if !f.At.IsZero() || f.noTx {
				continue
			}
			if !f.Adopted {
				if err := f.ending(); err != nil {
					return applied, err
				}
				if _, err := c.PgConn().Exec(ctx, head+f.text).ReadAll(); err != nil {
					return applied, f.failed(err, head+f.text, len(head))
				}
				if c.PgConn().TxStatus() != 'T' {
					return applied, fmt.Errorf("migrate: %s: %w", f.path(), errEndsTx)
				}
			}
			applied = append(applied, f.File)
		}
	}
	return applied, nil
}

// look fills in what was applied, and what would be adopted, and reports drift.
func look(ctx context.Context, c *pgx.Conn, sets []*set, exists bool) error {
	if !exists {
		if err := c.QueryRow(ctx, `select to_regclass('ashlar.migrations') is not null`).Scan(&exists); err != nil {
			return fmt.Errorf("migrate: look for ledger: %w", err)
		}
	}
	for _, s := range sets {
		if exists {
			if err := s.compare(ctx, c); err != nil {
				return err
			}
		}
		if err := s.adopt(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// compare fills in what the ledger has of the source and reports drift. The column adopted may not be there yet.
func (s *set) compare(ctx context.Context, c *pgx.Conn) error {
	rows, err := c.Query(ctx, `select name, checksum, at, coalesce(to_jsonb(m) ->> 'adopted', 'false')::boolean
		from ashlar.migrations m where source = $1 order by at, name`, s.Name)
	if err != nil {
		return fmt.Errorf("migrate: read ledger: %w", err)
	}
	byName := map[string]*file{}
	for _, f := range s.files {
		byName[f.Name] = f
	}
	var name, checksum string
	var got File
	_, err = pgx.ForEachRow(rows, []any{&name, &checksum, &got.At, &got.Adopted}, func() error {
		f := byName[name]
		switch {
		case f == nil:
			return &DriftError{Source: s.Name, Name: name, Missing: true}
		case f.checksum != checksum:
			return &DriftError{Source: s.Name, Name: name}
		}
		f.At, f.Adopted = got.At.UTC(), got.Adopted
		return nil
	})
	return err
}
