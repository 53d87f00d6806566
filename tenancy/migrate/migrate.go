package migrate

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Source is a named set of files.
type Source struct {
	Name string // identifies the source for ever; two sources of one call have different names
	FS   fs.FS  // its root holds the files
}

// File is one migration.
type File struct {
	Source string
	Name   string
	At     time.Time // when it was applied, UTC; zero means that it is pending
}

// Options configures Up and Status. A nil *Options and the zero value mean the defaults.
type Options struct {
	// LockTimeout is how long a statement waits for a lock on a table, with everybody else queueing behind it, before the
	// file is rolled back and tried again, up to five times. A file with "-- no-transaction" sets its own. Zero means 5 s.
	// Negative means no limit.
	LockTimeout time.Duration

	// Logger gets one line per applied file. Nil means slog.Default().
	Logger *slog.Logger
}

func (o *Options) lockTimeout() time.Duration {
	switch {
	case o == nil || o.LockTimeout == 0:
		return 5 * time.Second
	case o.LockTimeout < 0:
		return 0
	}
	return o.LockTimeout
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

// DriftError reports that an applied file is not what its source holds now. Nothing was applied.
type DriftError struct {
	Source, Name string
	Missing      bool // the file is gone; otherwise it was changed
}

// Error implements error.
func (e *DriftError) Error() string {
	what := "was changed after it had been applied"
	if e.Missing {
		what = "was applied but is not in its source any more"
	}
	return fmt.Sprintf("migrate: %s/%s %s; restore it and write a new file", e.Source, e.Name, what)
}

const (
	lockKey  = 0x6173686c61725f6d // "ashlar_m"
	attempts = 5
)

//go:embed ledger.sql
var ledger string

// Up applies the pending files of the sources, in the order given, and returns those that it applied, also when it then
// fails. The pool is the owner's.
func Up(ctx context.Context, pool *pgxpool.Pool, sources []Source, opts *Options) (applied []File, err error) {
	files, err := read(sources)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: connect: %w", err)
	}
	defer conn.Release()
	c := conn.Conn()
	if _, err := c.Exec(ctx, `select pg_advisory_lock($1)`, int64(lockKey)); err != nil {
		return nil, fmt.Errorf("migrate: lock: %w", err)
	}
	defer unlock(ctx, c)
	if _, err := c.Exec(ctx, ledger); err != nil {
		return nil, fmt.Errorf("migrate: create ledger: %w", err)
	}
	if err := compare(ctx, c, files); err != nil {
		return nil, err
	}
	for _, f := range files {
		if !f.At.IsZero() {
			continue
		}
		if err := f.apply(ctx, c, opts); err != nil {
			return applied, fmt.Errorf("migrate: %s/%s: %w", f.Source, f.Name, err)
		}
		opts.logger().InfoContext(ctx, "migrate: applied", "source", f.Source, "file", f.Name)
		applied = append(applied, f.File)
	}
	return applied, nil
}

// Status returns all files of the sources in the order in which Up takes them; the ones with a zero At are what Up would
// apply. It changes nothing.
func Status(ctx context.Context, pool *pgxpool.Pool, sources []Source, _ *Options) ([]File, error) {
	files, err := read(sources)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: connect: %w", err)
	}
	defer conn.Release()
	var exists bool
	if err := conn.QueryRow(ctx, `select to_regclass('ashlar.migrations') is not null`).Scan(&exists); err != nil {
		return nil, fmt.Errorf("migrate: look for ledger: %w", err)
	}
	if exists {
		if err := compare(ctx, conn.Conn(), files); err != nil {
			return nil, err
		}
	}
	list := make([]File, len(files))
	for i, f := range files {
		list[i] = f.File
	}
	return list, nil
}

func unlock(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if _, err := c.Exec(ctx, `select pg_advisory_unlock($1)`, int64(lockKey)); err != nil {
		_ = c.Close(ctx) // the lock ends with the session
	}
}

// file is a File with its text.
type file struct {
	File
	sql, checksum string
}

func read(sources []Source) ([]*file, error) {
	var files []*file
	seen := map[string]bool{}
	for _, s := range sources {
		if s.Name == "" || s.FS == nil || seen[s.Name] {
			return nil, fmt.Errorf("migrate: source %q has no name or no FS, or is given twice", s.Name)
		}
		seen[s.Name] = true
		names, err := fs.Glob(s.FS, "*.sql") // sorted
		if err != nil {
			return nil, fmt.Errorf("migrate: source %q: %w", s.Name, err)
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("migrate: source %q has no *.sql file at its root; fs.Sub may be missing", s.Name)
		}
		for _, name := range names {
			b, err := fs.ReadFile(s.FS, name)
			if err != nil {
				return nil, fmt.Errorf("migrate: source %q: %w", s.Name, err)
			}
			text := strings.ReplaceAll(string(b), "\r\n", "\n") // a checkout on Windows is not a change
			sum := sha256.Sum256([]byte(text))
			files = append(files, &file{File{Source: s.Name, Name: name}, text, hex.EncodeToString(sum[:])})
		}
	}
	return files, nil
}

// compare fills in what was applied and reports drift. Sources in the ledger that are not in the call are not its business.
func compare(ctx context.Context, c *pgx.Conn, files []*file) error {
	byName := map[[2]string]*file{}
	sources := map[string]bool{}
	for _, f := range files {
		byName[[2]string{f.Source, f.Name}] = f
		sources[f.Source] = true
	}
	rows, err := c.Query(ctx, `select source, name, checksum, at from ashlar.migrations order by at`)
	if err != nil {
		return fmt.Errorf("migrate: read ledger: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var source, name, checksum string
		var at time.Time
		if err := rows.Scan(&source, &name, &checksum, &at); err != nil {
			return fmt.Errorf("migrate: read ledger: %w", err)
		}
		f := byName[[2]string{source, name}]
		switch {
		case !sources[source]:
		case f == nil:
			return &DriftError{Source: source, Name: name, Missing: true}
		case f.checksum != checksum:
			return &DriftError{Source: source, Name: name}
		default:
			f.At = at.UTC()
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("migrate: read ledger: %w", err)
	}
	return nil
}

const note = `insert into ashlar.migrations (source, name, checksum) values ($1, $2, $3) returning at`

func (f *file) apply(ctx context.Context, c *pgx.Conn, opts *Options) error {
	first, _, _ := strings.Cut(f.sql, "\n")
	if strings.TrimSpace(first) == "-- no-transaction" {
		_, err := c.PgConn().Exec(ctx, f.sql).ReadAll()
		if err = errors.Join(err, forget(ctx, c)); err != nil {
			return err
		}
		return f.record(ctx, c)
	}
	for n := 1; ; n++ {
		err := errors.Join(f.applyTx(ctx, c, opts.lockTimeout()), forget(ctx, c))
		var pgErr *pgconn.PgError
		if n == attempts || !errors.As(err, &pgErr) || pgErr.Code != "55P03" { // lock_not_available
			return err
		}
	}
}

// forget undoes what a file may have set for the session: the next file, and whoever gets the connection from the pool,
// must not feel it. RESET ALL leaves the role alone.
func forget(ctx context.Context, c *pgx.Conn) error {
	_, err := c.PgConn().Exec(context.WithoutCancel(ctx), `reset all; reset role`).ReadAll()
	return err
}

func (f *file) applyTx(ctx context.Context, c *pgx.Conn, lockTimeout time.Duration) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // after a commit this does nothing
	}()
	ms := fmt.Sprint(lockTimeout.Milliseconds())
	if _, err := tx.Exec(ctx, `select set_config('lock_timeout', $1, true)`, ms); err != nil {
		return err
	}
	if _, err := c.PgConn().Exec(ctx, f.sql).ReadAll(); err != nil {
		return err
	}
	if c.PgConn().TxStatus() != 'T' {
		return errors.New("the file ends the transaction around it; remove BEGIN and COMMIT, or start it with -- no-transaction")
	}
	// The file may have changed role or search_path; the note must not feel it.
	if _, err := tx.Exec(ctx, `reset role`); err != nil {
		return err
	}
	if err := f.record(ctx, c); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func (f *file) record(ctx context.Context, c *pgx.Conn) error {
	err := c.QueryRow(ctx, note, f.Source, f.Name, f.checksum).Scan(&f.At)
	f.At = f.At.UTC()
	return err
}
