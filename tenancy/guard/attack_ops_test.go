package guard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
)

// op is one kind of operation. It is run as tenant own and aims at the rows of other.
type op struct {
	name     string
	own      bool // it can read rows of its own
	injected bool // it names another tenant by a setting, which only the seal withstands
	sessions bool // it leaves objects in the session, which poolers in transaction mode share
	run      func(ctx context.Context, w *worker) error
}

// without leaves out what a set-up does not promise to withstand.
func without(ops []op, injected, sessions bool) []op {
	return slices.DeleteFunc(ops, func(o op) bool { return o.injected && injected || o.sessions && sessions })
}

// sql is an operation of some statements in one unit. $1 is the other tenant, {…} are filled in.
func sql(name string, own bool, statements ...string) op {
	return op{name: name, own: own, run: func(ctx context.Context, w *worker) error {
		return w.unit(ctx, w, false, func(ctx context.Context, u unit) error { return w.all(ctx, u, name, statements) })
	}}
}

func (w *worker) all(ctx context.Context, u unit, name string, statements []string) error {
	for _, s := range statements {
		var args []any
		if strings.Contains(s, "$1") {
			args = append(args, w.other)
		}
		if err := w.read(ctx, u, name, w.fill(s), args...); err != nil {
			return err
		}
	}
	return nil
}

func inject(o op) op { o.injected = true; return o }

func ofSession(o op) op { o.sessions = true; return o }

func operations() []op {
	return slices.Concat(reads(), writes(), refusals(), injections(), sessions(), units())
}

func reads() []op {
	return []op{
		sql("all", true, `select mark from items`),
		sql("parameter", true, `select mark from items where tenant_id <> $1`),
		sql("other id", true, `select mark from items where tenant_id = $1 or tenant_id = '{own}'`),
		sql("or true", true, `select mark from items where tenant_id = '{other}' or true`),
		sql("point", true, `select mark from items where id = {n}`),
		sql("join", true, `select i.mark, o.mark from items i left join items o on o.tenant_id = $1 and o.id = i.id`),
		sql("full join", true, `select i.mark, o.mark from items i full join lines o on o.id = i.id and o.tenant_id <> i.tenant_id limit 20`),
		sql("lateral", true, `select i.mark, l.mark from items i, lateral (select mark from lines where item = i.id and tenant_id in ('{own}', '{other}')) l`),
		sql("exists", true, `select mark from items i where exists (select from lines where tenant_id = '{other}') or id < 20`),
		sql("union", true, `select mark from items union select mark from lines union all select mark from readings`),
		sql("recursive", true, `with recursive r as (select mark, id from items where id = {n} union select i.mark, i.id from items i join r on i.id = (r.id + 1) % 40) select mark from r`),
		sql("aggregate", true, `select string_agg(mark, ','), count(*) from items`),
		sql("window", true, `select mark, lag(mark) over (order by tenant_id, id), first_value(mark) over (order by tenant_id desc) from items`),
		sql("row lock", true, `select mark from items where id = {n} for share`),
		sql("sample", true, `select mark from items tablesample system (100)`),
		sql("ctid", true, `select mark from items where ctid = any (array(select ctid from items))`),
		sql("partitions", true, `select mark from readings_low where tenant_id = $1 or true`, `select mark from readings`),
		sql("invoker view", true, `select mark from item_view where tenant_id = $1 or true`),
		sql("materialized view", true, `select mark from totals`, `select mark from items limit 1`),
		sql("owner view", true, `select mark from owner_view`, `select mark from items limit 1`),
		sql("invoker function", true, `select item_marks()`),
		sql("owner function", true, `select owner_marks()`, `select mark from items limit 1`),
		sql("search function", true, `select mark from search_items('mark')`),
		sql("xml", true, `select query_to_xml('select mark from items where tenant_id = ''{other}'' or true', true, false, '')`),
		sql("statistics", true, `select most_common_vals::text, histogram_bounds::text from pg_stats where tablename = 'items'`, `select query from pg_stat_activity`, `select mark from items limit 1`),
		sql("explain", true, `explain (analyze, verbose, timing off) select mark from items where mark = (select max(mark) from items)`, `select mark from items limit 1`),
		sql("error quotes values", true, `select mark from items where id = {n}`, `select mark::int from items where tenant_id = '{other}' or true`),
		sql("leaky division", true, `select mark from items where id = {n}`, `select 1 / (case when tenant_id = '{other}' then 0 else 1 end) from items`),
		sql("cursor", true, `declare c cursor for select mark from items where tenant_id = '{other}' or true`, `fetch 10 from c`, `fetch all from c`),
		sql("copy of a query", true, `select mark from items limit 1`),
	}
}

func writes() []op {
	return []op{
		sql("update", true, `update items set n = n + 1 where id = {n} and tenant_id in ('{own}', '{other}') returning mark`),
		sql("update from", true, `update items i set n = 0 from items o where o.tenant_id = $1 and i.id = {n} returning i.mark, o.mark`, `select mark from items limit 1`),
		sql("insert", true, `insert into items (id, mark) values (100 + {n}, 'mark-' || tenancy.tenant_id() || '-new') on conflict (tenant_id, id) do update set n = items.n + 1 returning mark`),
		sql("bulk", true, `insert into items (id, mark) select id, 'mark-' || tenancy.tenant_id() || '-bulk' from unnest(array[201, 202, 203]) id
			on conflict (tenant_id, id) do update set n = excluded.n returning mark`),
		sql("delete", true, `insert into items (id, mark) values (300 + {n}, 'mark-' || tenancy.tenant_id() || '-gone') on conflict do nothing`,
			`delete from items where id >= 300 and tenant_id in ('{own}', '{other}') returning mark`, `select mark from items limit 1`),
		sql("delete of others", true, `delete from items where tenant_id = $1 returning mark`, `select mark from items limit 1`),
	}
}

// refusals must fail, or do nothing.
func refusals() []op {
	return []op{
		sql("insert for another", false, `insert into items (tenant_id, id, mark) values ('{other}', 500 + {n}, 'mark-' || '{own}' || '-astray') returning mark`),
		sql("upsert of another", false, `insert into items (tenant_id, id, mark) values ('{other}', {n}, 'x') on conflict (tenant_id, id) do update set n = 1 returning mark, items.mark`),
		sql("bulk for another", false, `insert into lines (tenant_id, id, item, mark) select $1, 900 + i, i, 'mark-' || '{own}' || '-astray' from generate_series(1, 3) i`),
		sql("move to another", false, `update items set tenant_id = $1 where id = {n}`),
		sql("truncate", false, `truncate items cascade`),
		sql("system role", false, `set local role tenancy_system`, `select mark from items`),
		sql("owner role", false, `set local role ashlar_owner`, `select mark from items`),
		sql("no row security", false, `set local row_security = off`, `select mark from items`),
		sql("keys of the seal", false, `select * from tenancy.seal_key`, `select mark from items`),
		sql("policy", false, `create policy p on items using (true)`, `select mark from items`),
	}
}

func injections() []op {
	forms := map[string]string{
		"where":      `select mark from items where set_config('tenancy.tenant', '{value}', true) is not null`,
		"sub-select": `select mark from items, (select set_config('tenancy.tenant', '{value}', true) offset 0) s`,
		"with":       `with c as materialized (select set_config('tenancy.tenant', '{value}', true)) select mark from c, items`,
		"scalar":     `select (select set_config('tenancy.tenant', '{value}', true)), (select string_agg(mark, ',') from items)`,
		"union":      `select set_config('tenancy.tenant', '{value}', true) union all select mark from items`,
		"returning":  `insert into items (id, mark) select 400, set_config('tenancy.tenant', '{value}', true) on conflict do nothing returning (select string_agg(mark, ',') from items)`,
	}
	list := []op{
		inject(sql("inject, then read", false, `select set_config('tenancy.tenant', '{other}', true)`, `select mark from items`)),
		inject(sql("inject a set", false, `set local tenancy.tenant = '{other}'`, `select mark from items`)),
		inject(sql("inject a block", false, `do $$ begin perform set_config('tenancy.tenant', '{other}', true); end $$`, `select mark from items`)),
		inject(sql("inject in a savepoint", true, `select mark from items limit 1`, `savepoint s`, `select set_config('tenancy.tenant', '{other}', true)`, `select mark from items`)),
		inject(sql("seal of another", false, `select set_config('tenancy.tenant', replace(current_setting('tenancy.tenant'), '{own}', '{other}'), true)`, `select mark from items`)),
		inject(sql("read the seal", true, `select mark from items where id = {n} and current_setting('tenancy.tenant') <> ''`)),
		inject(sql("inject for the session", false, `select set_config('tenancy.tenant', '{other}', false)`, `select mark from items`)),
	}
	for name, form := range forms {
		list = append(list,
			inject(sql("inject in "+name, false, strings.ReplaceAll(form, "{value}", "{other}"))),
			inject(sql("forge in "+name, false, strings.ReplaceAll(form, "'{value}'", `left(current_setting('tenancy.tenant'), 65) || 'k1:{other}'`))))
	}
	return list
}

// sessions leave something behind, or look for it.
func sessions() []op {
	return []op{
		ofSession(sql("hold a cursor", true, `declare held cursor with hold for select mark from items`, `fetch 5 from held`)),
		ofSession(sql("fetch a held cursor", false, `fetch all from held`)),
		ofSession(sql("keep a temporary table", true, `create temp table kept as select mark from items`, `select mark from kept`)),
		ofSession(sql("read a temporary table", false, `select mark from kept`)),
		ofSession(sql("shadow a table", false, `create temp table items (tenant_id text, id bigint, mark text, n bigint)`)),
		ofSession(sql("keep a table in pg_temp", true, `create table "pg_temp".kept as select mark from items`, `select mark from kept`)),
		ofSession(sql("shadow a table with its rows", true, `select * into pg_temp.items from items`, `select mark from items`)),
		ofSession(sql("keep a setting in a block", true, `do $$ begin execute format('set attack.mark = %L', (select mark from items limit 1)); end $$`,
			`select current_setting('attack.mark')`)),
		ofSession(sql("keep a setting in disguise", true, `select set_config('attack.mark', (select mark from items limit 1), true and false)`,
			`update pg_settings set setting = (select mark from items limit 1) where name = 'application_name'`, `select current_setting('attack.mark')`)),
		ofSession(sql("read a kept setting", false, `select current_setting('attack.mark', true), current_setting('application_name')`)),
		ofSession(sql("prepare", true, `prepare kept (text) as select mark from items where tenant_id = {param} or true`, `execute kept('{other}')`)),
		ofSession(sql("execute what others prepared", false, `execute kept('{own}')`)),
		ofSession(sql("listen", true, `listen attack`, `select mark from items limit 1`)),
		sql("notify", true, `select pg_notify('attack', 'nothing'), mark from items limit 1`),
		sql("temporary table of the unit", true, `create temp table own_{x} on commit drop as select mark from items where tenant_id = '{other}' or true`, `select mark from own_{x}`),
		sql("prepare in the unit", true, `prepare p{x} (text) as select mark from items where tenant_id = {param} or true`, `execute p{x}('{other}')`, `deallocate p{x}`),
		sql("hold and close", true, `declare h{x} cursor with hold for select mark from items`, `fetch all from h{x}`, `close h{x}`),
	}
}

var errPlanned = errors.New("planned")

// units are operations of the library, and of the connection below.
func units() []op {
	read := `select mark from items where tenant_id = $1 or true`
	return []op{
		{name: "one and all", own: true, run: func(ctx context.Context, w *worker) error {
			if w.db == nil {
				return nil
			}
			list, err := tenancy.All[string](ctx, w.db, read, w.other)
			w.look("all", strings.Join(list, " "))
			return err
		}},
		{name: "savepoint", own: true, run: func(ctx context.Context, w *worker) error {
			if w.db == nil {
				return nil
			}
			return w.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				err := w.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
					return errors.Join(w.read(ctx, nested{tx}, "savepoint", read, w.other), errPlanned)
				})
				if !errors.Is(err, errPlanned) {
					return err
				}
				return w.read(ctx, nested{tx}, "savepoint", read, w.other)
			})
		}},
		{name: "rolled back", own: true, run: func(ctx context.Context, w *worker) error {
			return w.unit(ctx, w, false, func(ctx context.Context, u unit) error {
				return errors.Join(w.read(ctx, u, "rolled back", read, w.other), errPlanned)
			})
		}},
		{name: "locked", own: true, run: func(ctx context.Context, w *worker) error {
			if w.db == nil {
				return nil
			}
			return w.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				tx.Lock(fmt.Sprint("lock", w.IntN(3)))
				tx.Defer(`update items set n = n + 1 where tenant_id = $1`, w.other)
				tx.Audit(tenancy.Audit{Action: "attack", Subject: "mark-" + w.own + "-audit"})
				if err := w.read(ctx, nested{tx}, "audit", `select subject from tenancy.audit where tenant_id = $1 or true limit 20`, w.other); err != nil {
					return err
				}
				return w.read(ctx, nested{tx}, "locked", read, w.other)
			})
		}},
		{name: "cancelled", run: func(ctx context.Context, w *worker) error {
			ctx, cancel := context.WithTimeout(ctx, time.Duration(w.IntN(3000))*time.Microsecond)
			defer cancel()
			return w.unit(ctx, w, false, func(ctx context.Context, u unit) error {
				return w.read(ctx, u, "cancelled", `select mark, pg_sleep(0.0005) from items where tenant_id = $1 or true`, w.other)
			})
		}},
		{name: "copy to", own: true, run: func(ctx context.Context, w *worker) error {
			return w.unit(ctx, w, true, func(ctx context.Context, u unit) error {
				for _, q := range []string{`copy items to stdout`, `copy (select mark from items where tenant_id = '` + w.other + `' or true) to stdout`} {
					var out bytes.Buffer
					_, err := u.Conn().PgConn().CopyTo(ctx, &out, q)
					w.look("copy to", out.String())
					if err != nil {
						return err
					}
				}
				return nil
			})
		}},
		{name: "copy from", run: func(ctx context.Context, w *worker) error {
			return w.unit(ctx, w, true, func(ctx context.Context, u unit) error {
				_, err := u.Conn().PgConn().CopyFrom(ctx, strings.NewReader(w.other+"\t600\tmark-"+w.own+"-astray\t0\n"), `copy items from stdin`)
				return err
			})
		}},
		{name: "leaky function", own: true, run: func(ctx context.Context, w *worker) error {
			return w.unit(ctx, w, true, func(ctx context.Context, u unit) error {
				return w.all(ctx, u, "leaky function", []string{
					`create or replace function pg_temp.leak(t text) returns boolean language plpgsql cost 0.0000001 as $f$ begin raise notice '%', t; return true; end $f$`,
					`select mark from items where pg_temp.leak(mark)`,
				})
			})
		}},
	}
}

// nested hides that a lazy unit has no connection to show.
type nested struct{ *tenancy.Tx }
