package tenancytest

import (
	"context"
	"embed"
	"io/fs"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/ashlar-go/ashlar/tenancy"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations is the schema of the suite, for a real PostgreSQL, after tenancy.Migrations.
var Migrations = sub(migrations, "migrations")

func sub(fsys fs.FS, dir string) fs.FS {
	s, err := fs.Sub(fsys, dir)
	if err != nil {
		panic(err) // only for an invalid name
	}
	return s
}

// The statements of the suite.
const (
	putSQL   = `insert into suite_rows (key, value) values ($1, $2) on conflict (tenant_id, key) do update set value = excluded.value`
	getSQL   = `select value from suite_rows where key = $1`
	swapSQL  = `update suite_rows set value = $2 where key = $1 and value = $3`
	listSQL  = `select key, value from suite_rows order by at`
	failSQL  = `select suite_fail($1)`
	eventSQL = `select tenant_id, type, key, convert_from(payload, 'UTF8') as body from tenancy.outbox order by seq`
)

type suiteRow struct {
	Key   string
	Value int64
}

type suiteEvent struct {
	Tenant string `db:"tenant_id"`
	Type   string
	Key    string
	Body   string
}

// Migrate gives the statements of the suite their answers in the kit, as Migrations does in PostgreSQL.
func (k *Kit) Migrate() {
	rows := NewTable[string, suiteRow](k)
	k.Handle(putSQL, func(ctx context.Context, args ...any) (any, error) {
		key := args[0].(string)
		return Affected(1), rows.Put(ctx, key, suiteRow{key, int64(args[1].(int))})
	})
	k.Handle(swapSQL, func(ctx context.Context, args ...any) (any, error) {
		key := args[0].(string)
		row, err := rows.Get(ctx, key)
		if err != nil || row.Value != int64(args[2].(int)) {
			return nil, err
		}
		return Affected(1), rows.Put(ctx, key, suiteRow{key, int64(args[1].(int))})
	})
	k.Handle(getSQL, func(ctx context.Context, args ...any) (any, error) {
		row, err := rows.Get(ctx, args[0].(string))
		return row.Value, err
	})
	k.Handle(listSQL, func(ctx context.Context, _ ...any) (any, error) { return rows.All(ctx) })
	k.Handle(failSQL, func(_ context.Context, args ...any) (any, error) {
		return nil, pgError(args[0].(string), "planted failure")
	})
	k.Handle(eventSQL, func(context.Context, ...any) (any, error) {
		list := []suiteEvent{}
		for _, e := range k.Events() {
			list = append(list, suiteEvent{e.Tenant, e.Type, e.Key, string(e.Payload)})
		}
		return list, nil
	})
}

// Features describes a backend of the suite. The zero value is a real server.
type Features struct {
	// Bubble runs each case in a testing/synctest bubble, which a backend without I/O stands.
	Bubble bool
}

// Run is the conformance suite of the unit of work. open returns an empty database with both Migrations applied (or
// Kit.Migrate done) and Options.System set; it is called once per case.
func Run(t *testing.T, open func(t *testing.T) *tenancy.DB, f Features) {
	for _, c := range slices.Concat(unitCases, assertCases, poolCases, eventCases, auditCases, endCases) {
		t.Run(c.name, func(t *testing.T) {
			body := func(t *testing.T) {
				c.run(&suite{T: t, db: open(t), ctx: tenancy.WithID(t.Context(), "acme")})
				if t.Failed() {
					t.Log("why this matters:", c.why)
				}
			}
			if f.Bubble {
				synctest.Test(t, body)
				return
			}
			t.Parallel()
			body(t)
		})
	}
}

// suiteCase is one case; why names the rule that a failure breaks.
type suiteCase struct {
	name, why string
	run       func(s *suite)
}
