package registry

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
)

//go:embed sql/purge_start.sql
var purgeStartSQL string

//go:embed sql/purge_count.sql
var purgeCountSQL string

//go:embed sql/purge_finish.sql
var purgeFinishSQL string

// purger deletes the rows of one tenant.
type purger struct {
	db     *tenancy.DB
	opts   *PurgeOptions
	report *PurgeReport
	tables []*table
}

// start begins a purge or finds the one that was interrupted.
func (p *purger) start(ctx context.Context, id, reason string) error {
	type begun struct {
		ID, Reason, Actor string
		StartedAt         time.Time `db:"started_at"`
	}
	actor, _ := tenancy.ActorFrom(ctx)
	text, err := json.Marshal(actor)
	if err != nil {
		return err
	}
	err = p.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if err := p.due(ctx, tx, id); err != nil {
			return err
		}
		b, err := tenancy.One[begun](ctx, tx, purgeStartSQL, id, reason, string(text), p.opts.moved())
		if err != nil {
			return err
		}
		p.report = &PurgeReport{ID: b.ID, Tenant: id, Reason: b.Reason, Moved: p.opts.moved(), StartedAt: b.StartedAt.UTC()}
		return json.Unmarshal([]byte(b.Actor), &p.report.Actor)
	})
	if err != nil {
		return err
	}
	p.tables, err = catalogue(ctx, p.db)
	return err
}

// due refuses a tenant that still lives here.
func (p *purger) due(ctx context.Context, tx *tenancy.Tx, id string) error {
	sql, want := purgeDueSQL, "in the state "+string(Deleting)
	if p.opts.moved() {
		sql, want = movedDueSQL, "shut out of this database"
	}
	due, err := tenancy.One[bool](ctx, tx, sql, id, p.opts.grace())
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return ErrUnknownTenant
	case err == nil && !due:
		err = fmt.Errorf("%w: the tenant has not been %s for %s", ErrTransition, want, p.opts.grace())
	}
	return err
}

const movedDueSQL = `select coalesce((select access = 'none' and at <= now() - $2::interval from tenancy.restriction where tenant = $1), false)
	from registry.tenants where id = $1 for update`

// The row is locked, so that nobody calls the deletion off meanwhile.
const purgeDueSQL = `select state = 'deleting' and state_at <= now() - $2::interval from registry.tenants where id = $1 for update`

// shutOut refuses to go on with a tenant that has moved and is let in again: the rows may be its present ones. It is not let in
// before the unit ends.
func (p *purger) shutOut(ctx context.Context, tx *tenancy.Tx) error {
	if !p.opts.moved() {
		return nil
	}
	out, err := tenancy.One[bool](ctx, tx, `select access = 'none' from tenancy.restriction where tenant = $1 for share`, p.report.Tenant)
	if errors.Is(err, tenancy.ErrNotFound) || err == nil && !out {
		err = fmt.Errorf("%w: the tenant is not shut out of this database any more", ErrTransition)
	}
	return err
}

// deleteAll empties the tables, those first that refer to others.
func (p *purger) deleteAll(ctx context.Context) error {
	for i, t := range slices.Backward(p.tables) {
		if !p.deletes(t) {
			continue
		}
		for _, f := range late(p.tables, i) {
			if err := p.untie(ctx, t, f); err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
		}
	}
	for i, t := range slices.Backward(p.tables) {
		if !p.deletes(t) {
			continue
		}
		if err := p.delete(ctx, t, p.leaves(t, i)); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return nil
}

// untie sets the columns of a foreign key to null that is part of a cycle, so that rows can go one by one.
func (p *purger) untie(ctx context.Context, t *table, f foreignKey) error {
	columns := t.nullable(f)
	if len(columns) == 0 {
		if f.Target == t.OID {
			return nil // see leaves
		}
		return fmt.Errorf("foreign key %s is part of a cycle of tables and cannot be null; delete these rows by hand first", f.Name)
	}
	var set, where []string
	for _, name := range quoted(columns) {
		set = append(set, name+" = null")
		where = append(where, name+" is not null")
	}
	rows := fmt.Sprintf("%s = $1::text::%s and (%s)", quote(t.Tenant), t.tenantType(), strings.Join(where, " or "))
	sql := fmt.Sprintf(`update %s set %s where %s and ctid = any (array(select ctid from %s where %s limit $2))`,
		t.from(), strings.Join(set, ", "), rows, t.from(), rows)
	return p.chunks(ctx, sql, "")
}

// leaves returns a condition on rows that no other row of the table refers to by a key that cannot be null, or "".
func (p *purger) leaves(t *table, i int) string {
	condition := ""
	for _, f := range late(p.tables, i) {
		if f.Target != t.OID || len(t.nullable(f)) > 0 {
			continue
		}
		var same []string
		for n, name := range f.Columns {
			same = append(same, "o."+quote(name)+" = t."+quote(f.TargetColumns[n]))
		}
		condition += fmt.Sprintf(" and not exists (select from %s o where %s and (o.tableoid, o.ctid) <> (t.tableoid, t.ctid))",
			t.from(), strings.Join(same, " and "))
	}
	return condition
}

// delete empties one table. The tenant is part of the outer condition too, because in a partitioned table several rows have
// the same ctid.
func (p *purger) delete(ctx context.Context, t *table, leaves string) error {
	mine := condition(t)
	chunk := func(leaves, limit string) string {
		return fmt.Sprintf(`delete from %s t where %s and ctid = any (array(select t.ctid from %s t where %s%s limit %s))`,
			t.from(), mine, t.from(), mine, leaves, limit)
	}
	if err := p.chunks(ctx, chunk(leaves, "$2"), t.Name); err != nil || leaves == "" {
		return err
	}
	// What remains refers to itself in circles, which only one statement can delete.
	return p.chunks(ctx, chunk("", "case when $2::bigint > 0 then null::bigint end"), t.Name)
}

// chunks runs a statement, each time in a transaction of its own, until it finds no more rows. What it did is counted in the
// same transaction if there is a name to count it by, so the numbers are right whatever is killed when.
func (p *purger) chunks(ctx context.Context, sql, count string) error {
	for {
		var n int64
		err := p.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			if err := p.shutOut(ctx, tx); err != nil {
				return err
			}
			tag, err := tx.Exec(ctx, sql, p.report.Tenant, p.opts.chunk())
			if err != nil {
				return err
			}
			if n = tag.RowsAffected(); n > 0 && count != "" {
				tx.Defer(purgeCountSQL, p.report.ID, count, n)
			}
			return nil
		})
		if errors.Is(err, tenancy.ErrCommitUnknown) {
			continue // whether done or not, rows and count agree
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// finish counts what is left, in one snapshot with the end of the purge, and writes the report.
func (p *purger) finish(ctx context.Context, tx *tenancy.Tx) error {
	if err := p.shutOut(ctx, tx); err != nil {
		return err
	}
	r := p.report
	r.Tables, r.Kept, r.Findings = nil, nil, nil
	tx.Defer(`select from registry.tenants where id = $1 for update`, r.Tenant) // an export that is being announced is counted
	type row struct {
		Name    string
		Deleted int64
	}
	rows, err := tenancy.All[row](ctx, tx, `select name, deleted from registry.purge_tables where purge_id = $1`, r.ID)
	if err != nil {
		return err
	}
	deleted := map[string]int64{}
	for _, row := range rows {
		deleted[row.Name] = row.Deleted
	}
	var counts []string
	for _, t := range slices.Backward(p.tables) {
		why := ruleOf(t.Name).keep
		if p.stays(t) {
			why = "the tenant lives elsewhere: directory, audit log, and transport that leaves by itself"
		}
		if why != "" {
			r.Kept = append(r.Kept, LeftOut{t.Name, why})
		}
		switch {
		case p.deletes(t):
			r.Tables = append(r.Tables, PurgedTable{t.Name, deleted[t.Name], 0})
			counts = append(counts, fmt.Sprintf("(select count(*) from %s t where %s)", t.from(), condition(t)))
		case why != "":
		case p.opts != nil && slices.Contains(p.opts.Ignore, t.Name):
			r.Kept = append(r.Kept, LeftOut{t.Name, "ignored by PurgeOptions.Ignore"})
		default:
			r.Findings = append(r.Findings, LeftOut{t.Name, finding(t)})
		}
	}
	// One statement sees all tables at one moment.
	left, err := tenancy.One[[]int64](ctx, tx, "select array["+strings.Join(counts, ", ")+"]::bigint[]", r.Tenant)
	if err != nil {
		return err
	}
	for i, n := range left {
		r.Tables[i].Left = n
	}
	if !r.complete() {
		return ErrPurgeIncomplete
	}
	return p.write(ctx, tx)
}

// write appends the report to the chain.
func (p *purger) write(ctx context.Context, tx *tenancy.Tx) error {
	tx.Defer(`select pg_advisory_xact_lock(hashtext('registry.purges'))`) // one report after the other
	type last struct {
		Number int64
		Hash   string
		Now    time.Time
	}
	before, err := tenancy.One[last](ctx, tx, purgeLastSQL)
	if err != nil {
		return err
	}
	r := p.report
	r.Number, r.Previous, r.FinishedAt = before.Number+1, before.Hash, before.Now.UTC()
	text, err := r.seal()
	if err != nil {
		return err
	}
	tx.DeferExpect(1, "purge report", purgeFinishSQL, r.ID, r.FinishedAt, text, r.Hash, r.Number)
	if r.Moved {
		changed(tx, Event{Type: "tenant.cleared"}, nil, fields{"report": r.Hash, "reason": r.Reason})
		return nil
	}
	tx.DeferExpect(1, "tenant", tombstoneSQL, r.Tenant)
	changed(tx, Event{Type: "tenant.deleted", Old: string(Deleting), New: string(Deleted)}, nil, fields{"report": r.Hash, "reason": r.Reason})
	return nil
}

const tombstoneSQL = `update registry.tenants set state = 'deleted', state_at = now(), name = '', plan = '', reason = '', state_by = '',
	owners = 0, version = version + 1, updated_at = now() where id = $1 and state = 'deleting'`

const purgeLastSQL = `select coalesce(max(number), 0) as number, now() as now,
	coalesce((array_agg(hash order by number desc))[1], '') as hash from registry.purges where finished_at is not null`

// complete tells whether the report proves that nothing is left.
func (p *PurgeReport) complete() bool {
	return len(p.Findings) == 0 && !slices.ContainsFunc(p.Tables, func(t PurgedTable) bool { return t.Left != 0 })
}

// deletes tells whether the purge deletes rows of a table: row-level security vouches for whose rows they are.
func (p *purger) deletes(t *table) bool {
	r := ruleOf(t.Name)
	if p.stays(t) {
		return false
	}
	return (r.keep == "" || r.only != "") && (t.Standing == protected || t.Standing == systemOnly) && t.Deletable
}

// stays tells whether a table is one of the library's own that a move leaves where it was. Marks are copied, and those left behind
// would be in the way of a move back.
func (p *purger) stays(t *table) bool {
	return p.opts.moved() && (strings.HasPrefix(t.Name, "registry.") || strings.HasPrefix(t.Name, "tenancy.")) && !ruleOf(t.Name).marks
}

// condition selects the rows that a purge deletes from a table with the alias t.
func condition(t *table) string {
	mine := fmt.Sprintf("t.%s = $1::text::%s", quote(t.Tenant), t.tenantType())
	if only := ruleOf(t.Name).only; only != "" {
		mine += " and " + only
	}
	return mine
}

func finding(t *table) string {
	switch {
	case t.Standing == open:
		return "has a tenant column but no row-level security by tenancy.tenant_id(): protect it, or name it in PurgeOptions.Ignore"
	case t.Standing != protected && t.Standing != systemOnly:
		return "a materialized view or foreign table with a tenant column: refresh or clean it, then name it in PurgeOptions.Ignore"
	}
	return "the system role may not delete from it"
}
