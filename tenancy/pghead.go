package tenancy

import (
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// headSQL says whose transaction it is. Values are bind parameters, so that they do not show in pg_stat_activity;
// everything is local to the transaction, so that poolers in transaction mode are safe.
const headSQL = `select set_config('tenancy.tenant', $1, true)`

// headOf returns the statement that follows BEGIN: one for everything, because each costs the server microseconds. There
// are sixteen of them, twice that where tenants are placed, which every connection prepares once.
func headOf(b *Begin, tenant string, ask bool) (sql string, args []any) {
	if b.Fence == 0 && b.Actor == "" && b.Timeout <= 0 && b.LockWait <= 0 && !ask {
		return headSQL, []any{tenant}
	}
	var text strings.Builder
	text.WriteString(headSQL)
	args = append(make([]any, 0, 4), tenant)
	add := func(before string, value any, after string) {
		args = append(args, value)
		text.WriteString(before)
		text.WriteString(strconv.Itoa(len(args)))
		text.WriteString(after)
	}
	if b.Fence != 0 {
		add(", pg_advisory_xact_lock($", b.Fence, ")")
	}
	if b.Actor != "" {
		add(", set_config('tenancy.actor', $", b.Actor, ", true)")
	}
	if b.Timeout > 0 {
		add(", set_config('statement_timeout', $", millis(b.Timeout), ", true)")
		add(", set_config('idle_in_transaction_session_timeout', $", millis(b.Timeout), ", true)")
	}
	if b.LockWait > 0 {
		add(", set_config('lock_timeout', $", millis(b.LockWait), ", true)")
	}
	if ask {
		add(", tenancy.admit($", b.Tenant, ")") // the last column; see admitted
	}
	return text.String(), args
}

// millis is a duration as a setting of PostgreSQL, where 0 would mean no bound.
func millis(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// queueBegin queues the head. It returns its number of statements, and which of them asks for the tenant's access; -1 is
// none.
func (s *pgSession) queueBegin(batch *pgx.Batch, begin *Begin, implicit bool) (heads, asking int) {
	if begin == nil {
		return 0, -1
	}
	if begin.After != 0 && !begin.Eager {
		// In a transaction of its own: a snapshot taken before the replica came far enough must not serve the unit.
		batch.Queue("begin read only")
		batch.Queue(requireSQL, begin.After.String())
		batch.Queue("commit")
	}
	switch text := beginSQL(begin); {
	case begin.Eager:
		batch.BeginTx(pgx.TxOptions{BeginQuery: text})
	case !implicit:
		batch.Queue(text)
	}
	ask := s.asks && begin.Tenant != ""
	head, args := headOf(begin, s.seal.value(begin.Tenant), ask)
	batch.Queue(head, args...)
	asking = -1
	if ask {
		asking = batch.Len() - 1
	}
	if s.schema != "" {
		batch.Queue(schemaSQL, s.schema, s.path)
	}
	return batch.Len(), asking
}

func beginSQL(b *Begin) string {
	if b.plain() {
		return "begin"
	}
	var sql strings.Builder
	sql.WriteString("begin")
	switch b.Isolation { // never the caller's text
	case pgx.Serializable, pgx.RepeatableRead, pgx.ReadCommitted, pgx.ReadUncommitted:
		sql.WriteString(" isolation level " + string(b.Isolation))
	}
	if b.ReadOnly {
		sql.WriteString(" read only")
	}
	if b.Deferrable {
		sql.WriteString(" deferrable")
	}
	return sql.String()
}
