package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"
)

const attempts = 5

var errEndsTx = errors.New("the file ends the transaction around it; remove BEGIN and COMMIT, or start it with -- no-transaction")

// ending is an error if a statement of the file would end the transaction around it. It is asked before the file runs:
// afterwards half of it is committed, also of a dry run, and COMMIT AND CHAIN leaves no trace.
func (f *file) ending() error {
	for _, s := range sqlsplit.Split(f.text) {
		words := append(sqlsplit.Words(s.Text, 3), "", "")
		switch words[0] {
		case "rollback":
			if words[1] == "to" || words[2] == "to" { // a savepoint
				continue
			}
		case "prepare":
			if words[1] != "transaction" {
				continue
			}
		case "commit", "end", "abort":
		default:
			continue
		}
		return fmt.Errorf("migrate: %s:%d: %w", f.path(), s.Line, errEndsTx)
	}
	return nil
}

const noteSQL = `insert into ashlar.migrations (source, name, checksum) values ($1, $2, $3) returning at`

// apply runs the file and notes it.
func (f *file) apply(ctx context.Context, c *pgx.Conn, opts *Options) error {
	log := logger(opts.Logger)
	if f.noTx {
		return f.applyPieces(ctx, c, log)
	}
	return retry(ctx, func() error {
		err := errors.Join(f.applyTx(ctx, c, lockTimeout(opts.LockTimeout), log), forget(ctx, c))
		if f.form == golangMigrate && code(err) == "25001" { // CREATE INDEX CONCURRENTLY, which golang-migrate runs as it is
			if pieces := sqlsplit.Split(f.text); len(pieces) == 1 {
				f.pieces = pieces
				return f.applyPieces(ctx, c, log)
			}
		}
		return err
	})
}

// retry tries again what did not get its locks in time, with pauses in which those who queued behind it get theirs.
func retry(ctx context.Context, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if c := code(err); n == attempts || c != "55P03" && c != "40P01" { // lock_not_available, deadlock_detected
			return err
		}
		pause := time.NewTimer(rand.N(100 * time.Millisecond << n))
		select {
		case <-ctx.Done():
			pause.Stop()
			return err
		case <-pause.C:
		}
	}
}

// applyPieces sends the statements one by one, as psql does.
func (f *file) applyPieces(ctx context.Context, c *pgx.Conn, log *slog.Logger) error {
	for _, p := range f.pieces {
		results, err := c.PgConn().Exec(ctx, p.Text).ReadAll()
		if err != nil {
			return fmt.Errorf("migrate: %s:%d: %w", f.path(), p.Line, errors.Join(err, forget(ctx, c)))
		}
		f.warn(ctx, c, log, []sqlsplit.Statement{p}, results)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout) // what was done is to be noted
	defer cancel()
	if err := f.valid(ctx, c); err != nil { // by the file's own search_path
		return err
	}
	if err := forget(ctx, c); err != nil {
		return f.failed(err, "", 0)
	}
	return f.record(ctx, c)
}

const invalidSQL = `select coalesce(string_agg(format('%I.%I', s.nspname, c.relname), ', '), '') from pg_index i
	join pg_class c on c.oid = i.indexrelid join pg_namespace s on s.oid = c.relnamespace
	where not i.indisvalid and c.relkind = 'i' and c.relname = any($1) and (pg_table_is_visible(c.oid) or s.nspname = any($1))`

// valid refuses a file that names an index which CREATE INDEX CONCURRENTLY has left half made: IF NOT EXISTS passes over it.
// One of the same name in a schema that the statement does not mean is somebody else's.
func (f *file) valid(ctx context.Context, c *pgx.Conn) error {
	var names []string
	for _, p := range f.pieces {
		words := sqlsplit.Words(p.Text, 11) // create unique index concurrently if not exists name on only schema.table
		if len(words) == 0 || words[0] != "create" || !slices.Contains(words, "index") {
			continue
		}
		for _, w := range words {
			names = append(names, strings.ReplaceAll(strings.Trim(w, `"`), `""`, `"`))
		}
	}
	if len(names) == 0 {
		return nil
	}
	var invalid string
	if err := c.QueryRow(ctx, invalidSQL, names).Scan(&invalid); err != nil {
		return f.failed(err, "", 0)
	}
	if invalid != "" {
		return f.failed(fmt.Errorf("an earlier CREATE INDEX CONCURRENTLY has failed and left %s invalid; DROP INDEX it and migrate again", invalid), "", 0)
	}
	return nil
}

func (f *file) applyTx(ctx context.Context, c *pgx.Conn, lockTimeout time.Duration, log *slog.Logger) error {
	if err := f.ending(); err != nil {
		return err
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		return f.failed(err, "", 0)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // after a commit this does nothing
	}()
	ms := fmt.Sprint(lockTimeout.Milliseconds())
	if _, err := tx.Exec(ctx, `select set_config('lock_timeout', $1, true)`, ms); err != nil {
		return f.failed(err, "", 0)
	}
	results, err := c.PgConn().Exec(ctx, f.text).ReadAll()
	if err != nil {
		return f.failed(err, f.text, 0)
	}
	if c.PgConn().TxStatus() != 'T' {
		return f.failed(errEndsTx, "", 0)
	}
	// The file may have changed role or search_path; the note must not feel it.
	if _, err := tx.Exec(ctx, `reset role`); err != nil {
		return f.failed(err, "", 0)
	}
	f.warn(ctx, c, log, sqlsplit.Split(f.text), results)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout) // its answer is worth waiting for
	defer cancel()
	if err := f.record(ctx, c); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		f.At = time.Time{}
		return f.failed(err, "", 0)
	}
	return nil
}

func (f *file) record(ctx context.Context, c *pgx.Conn) error {
	if err := c.QueryRow(ctx, noteSQL, f.Source, f.Name, f.checksum).Scan(&f.At); err != nil {
		f.At = time.Time{}
		return fmt.Errorf("migrate: %s: note it in the ledger: %w", f.path(), err)
	}
	f.At = f.At.UTC()
	return nil
}

// Whether rows exist that the owner of their table does not see, as no policy is for it.
const hiddenSQL = `select exists (select from pg_class where relkind = 'r' and row_security_active(oid) and pg_relation_size(oid) > 0)
	and not exists (select from pg_roles where rolname = 'tenancy_system' and pg_has_role(oid, 'usage'))`

// warn logs the statements that changed no row while tables with forced row-level security hold some: for their owner such
// a statement finds nothing and does not fail. After a change of role in the file nothing is said.
func (f *file) warn(ctx context.Context, c *pgx.Conn, log *slog.Logger, statements []sqlsplit.Statement, results []*pgconn.Result) {
	var lines []int
	for i, r := range results {
		if len(results) == len(statements) {
			words := strings.Join(sqlsplit.Words(statements[i].Text, 3), " ")
			if strings.HasPrefix(words, "set local role") || strings.HasPrefix(words, "set role") {
				break
			}
		}
		tag := r.CommandTag
		if tag.RowsAffected() > 0 || !(tag.Update() || tag.Delete() || tag.Insert() || strings.HasPrefix(tag.String(), "MERGE")) {
			continue
		}
		line := 0 // unknown: a rule or a procedure answered more than once
		if len(results) == len(statements) {
			line = statements[i].Line
		}
		lines = append(lines, line)
	}
	var hidden bool
	if len(lines) == 0 || c.QueryRow(ctx, hiddenSQL).Scan(&hidden) != nil || !hidden {
		return
	}
	for _, line := range lines {
		log.WarnContext(ctx, "migrate: statement changed no row; under forced row-level security the owner sees none: "+
			"begin the data step with SET LOCAL ROLE tenancy_system, of which the owner must be a member", "source", f.Source, "file", f.Name, "line", line)
	}
}
