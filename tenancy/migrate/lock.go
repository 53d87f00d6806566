package migrate

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

const lockKey = 0x6173686c61725f6d // "ashlar_m"

// longWait is when waiting for another process is worth a warning.
const longWait = 3 * time.Second

//go:embed session.sql
var sessionSQL string

// Who holds the lock of this database; the key is split in two halves there.
const holderSQL = `select a.pid, coalesce(a.application_name, ''), coalesce(a.state, ''), coalesce(a.query_start, a.backend_start)
	from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.granted and l.objsubid = 1
	and l.database = (select oid from pg_database where datname = current_database()) and l.classid::bigint << 32 | l.objid::bigint = $1 limit 1`

// lock waits until this process is the only one. It asks again and again: a session that waits inside of PostgreSQL holds a
// snapshot, for which CREATE INDEX CONCURRENTLY of the session with the lock would wait in turn.
func lock(ctx context.Context, c *pgx.Conn, log *slog.Logger) error {
	if err := forget(ctx, c); err != nil {
		return fmt.Errorf("migrate: prepare the session: %w", err)
	}
	start, warned := time.Now(), false
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		var ok bool
		if err := c.QueryRow(ctx, `select pg_try_advisory_lock($1)`, int64(lockKey)).Scan(&ok); err != nil {
			return fmt.Errorf("migrate: lock: %w", err)
		}
		if ok {
			return nil
		}
		if !warned && time.Since(start) > longWait {
			warned = true
			log.WarnContext(ctx, "migrate: waiting for another process", "holder", holder(ctx, c))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("migrate: lock: another process is migrating (%s): %w", holder(ctx, c), context.Cause(ctx))
		case <-timer.C:
		}
	}
}

// holder describes the session that has the lock, so that an operator can end it: select pg_terminate_backend(pid).
func holder(ctx context.Context, c *pgx.Conn) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	var pid int
	var app, state string
	var since time.Time
	if err := c.QueryRow(ctx, holderSQL, int64(lockKey)).Scan(&pid, &app, &state, &since); err != nil {
		return "unknown session"
	}
	return fmt.Sprintf("pid %d, application %q, %s since %s", pid, app, state, since.UTC().Format(time.RFC3339))
}

func unlock(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if _, err := c.PgConn().Exec(ctx, fmt.Sprintf(`reset all; select pg_advisory_unlock(%d)`, int64(lockKey))).ReadAll(); err != nil {
		_ = c.Close(ctx) // the lock ends with the session
	}
}

// forget undoes what a file may have set for the session: the next file, and whoever gets the connection from the pool,
// must not feel it.
func forget(ctx context.Context, c *pgx.Conn) error {
	_, err := c.PgConn().Exec(context.WithoutCancel(ctx), sessionSQL).ReadAll()
	return err
}
