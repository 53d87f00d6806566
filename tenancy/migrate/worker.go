package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// recycle is after how many tenants a worker takes a new connection: PostgreSQL caches the catalog of everything that a
// session has touched, some 200 MB after 1,000 schemas.
const recycle = 100

// commitTimeout bounds the note and COMMIT once a cancelled call cannot end them.
const commitTimeout = 30 * time.Second

// worker migrates one tenant after the other, on one connection.
type worker struct {
	*fanOut
	conn *pgxpool.Conn
	used int
}

// central returns the worker's connection to the pool's database.
func (w *worker) central(ctx context.Context) (*pgx.Conn, error) {
	if w.conn != nil && (w.used >= recycle || w.conn.Conn().IsClosed()) {
		_ = w.conn.Conn().Close(context.WithoutCancel(ctx))
		w.release()
	}
	if w.conn == nil {
		conn, err := w.pool.Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("migrate: connect: %w", err)
		}
		w.conn, w.used = conn, 0
	}
	w.used++
	return w.conn.Conn(), nil
}

func (w *worker) release() {
	if w.conn != nil {
		w.conn.Release()
		w.conn = nil
	}
}

// tenant migrates the target at i and notes how that went.
func (w *worker) tenant(ctx context.Context, i int) {
	start := time.Now()
	var files []*file
	err := retry(ctx, func() (err error) {
		files, err = w.try(ctx, w.targets[i])
		return err
	})
	if err != nil {
		files = nil
		w.noteFailure(ctx, w.targets[i].Tenant, err)
	}
	w.finish(i, fileList(files), err, time.Since(start))
}

// noteFailure is best effort: the caller hears of the failure anyway.
func (w *worker) noteFailure(ctx context.Context, tenant string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if c, connErr := w.central(ctx); connErr == nil {
		_, _ = c.Exec(ctx, tenantFailedSQL, tenant, err.Error())
	}
}

func (w *worker) try(ctx context.Context, t Target) ([]*file, error) {
	central, err := w.central(ctx)
	if err != nil {
		return nil, err
	}
	if t.Connect == nil {
		return w.apply(ctx, central, t, nil)
	}
	own, err := t.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: connect to the database of tenant %s: %w", t.Tenant, err)
	}
	defer own.Close(context.WithoutCancel(ctx))
	return w.apply(ctx, own, t, central)
}

// apply runs what the tenant lacks, and notes it, in one transaction. central is nil when c is in the database of the
// central ledger; otherwise the tenant's own ledger decides, and the central one follows.
func (w *worker) apply(ctx context.Context, c *pgx.Conn, t Target, central *pgx.Conn) (files []*file, err error) {
	defer func() {
		if !c.IsClosed() && c.PgConn().TxStatus() != 'I' {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_, err := c.PgConn().Exec(ctx, "rollback").ReadAll()
			if err != nil {
				_ = c.Close(ctx)
			}
		}
	}()
	known, err := w.begin(ctx, c, t, central != nil)
	if err != nil {
		return nil, err
	}
	if files, err = missing(w.sets, known); err != nil {
		return nil, err
	}
	head := w.head(t)
	for _, f := range files {
		if err := f.ending(); err != nil {
			return nil, err
		}
		text := head + f.text
		if _, err := c.PgConn().Exec(ctx, text).ReadAll(); err != nil {
			return nil, f.failed(err, text, len(head))
		}
		if c.PgConn().TxStatus() != 'T' {
			return nil, f.failed(errEndsTx, "", 0)
		}
	}
	return files, w.commit(ctx, c, t, files, central)
}

// head is what is in force when a file begins, whatever the one before it has set.
func (w *worker) head(t Target) string {
	head := fmt.Sprintf("reset all; reset role; set local lock_timeout = %d; ", lockTimeout(w.opts.LockTimeout).Milliseconds())
	if t.Schema != "" {
		head += "set local search_path = " + pgx.Identifier{t.Schema}.Sanitize() + "; "
	}
	return head
}

// begin opens the transaction, waits for another process that has this tenant, and returns what was applied.
func (w *worker) begin(ctx context.Context, c *pgx.Conn, t Target, own bool) (map[[2]string]string, error) {
	b := &pgx.Batch{}
	b.Queue(`begin`)
	b.Queue(`select pg_advisory_xact_lock(hashtextextended('ashlar/migrate/' || $1::text, 0))`, t.Tenant)
	exists := true
	if t.Schema != "" {
		b.Queue(`select exists (select from pg_namespace where nspname = $1)`, t.Schema).
			QueryRow(func(row pgx.Row) error { return row.Scan(&exists) })
	}
	known := map[[2]string]string{}
	var source, name, checksum string
	collect := func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&source, &name, &checksum}, func() error {
			known[[2]string{source, name}] = checksum
			return nil
		})
		return err
	}
	if !own {
		b.Queue(`select source, name, checksum from ashlar.tenant_migrations where tenant = $1 and source = any($2)`, t.Tenant, w.sources).Query(collect)
	}
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("migrate: begin: %w", err)
	}
	if !exists && w.opts.CreateSchemas {
		_, err := c.PgConn().Exec(ctx, "create schema "+pgx.Identifier{t.Schema}.Sanitize()).ReadAll()
		if exists = err == nil; err != nil {
			return nil, fmt.Errorf("migrate: create schema: %w", err)
		}
	}
	if !exists {
		return nil, fmt.Errorf("migrate: schema %q does not exist; create it or set TenantsOptions.CreateSchemas", t.Schema)
	}
	if own { // the ledger may be new, so what reads it cannot be prepared before
		if _, err := c.PgConn().Exec(ctx, ledgerSQL).ReadAll(); err != nil {
			return nil, fmt.Errorf("migrate: create ledger: %w", err)
		}
		rows, err := c.Query(ctx, `select source, name, checksum from ashlar.migrations where source = any($1)`, w.sources)
		if err == nil {
			err = collect(rows)
		}
		if err != nil {
			return nil, fmt.Errorf("migrate: read ledger: %w", err)
		}
	}
	return known, nil
}

// commit notes the files and commits. Cancelling does not reach it any more: the answer to COMMIT is worth waiting for.
func (w *worker) commit(ctx context.Context, c *pgx.Conn, t Target, files []*file, central *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	note := func(b *pgx.Batch, files []*file) {
		var sources, names, sums []string
		for _, f := range files {
			sources, names, sums = append(sources, f.Source), append(names, f.Name), append(sums, f.checksum)
		}
		b.Queue(tenantNoteSQL, t.Tenant, sources, names, sums)
		b.Queue(`delete from ashlar.tenant_failures where tenant = $1`, t.Tenant)
	}
	b := &pgx.Batch{}
	b.Queue(`reset all`)
	b.Queue(`reset role`)
	if central == nil {
		note(b, files)
	}
	for _, f := range files {
		if central != nil {
			b.Queue(noteSQL, f.Source, f.Name, f.checksum)
		}
	}
	b.Queue(`commit`)
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("migrate: commit: %w", err)
	}
	if c.PgConn().TxStatus() != 'I' {
		return errors.New("migrate: commit: the transaction is still open")
	}
	if central == nil {
		return nil
	}
	b = &pgx.Batch{}
	var all []*file
	for _, s := range w.sets {
		all = append(all, s.files...)
	}
	note(b, all)
	if err := central.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("migrate: tenant %s is migrated, but not in the central ledger; the next call enters it: %w", t.Tenant, err)
	}
	return nil
}
