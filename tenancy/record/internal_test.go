package record

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

type row struct {
	Base
	Title string
	Stars int
	Due   *time.Time
}

// FuzzCursor: nothing but what was sealed opens, whatever arrives.
func FuzzCursor(f *testing.F) {
	table := Define[row]("app.rows", nil)
	order, err := table.totalOrder("title", false)
	require.NoError(f, err)
	s, err := table.sealer("acme", Query{}, order)
	require.NoError(f, err)
	text := "x"
	genuine, err := s.seal(position{Values: []*string{&text, nil}})
	require.NoError(f, err)
	f.Add(genuine)
	f.Add(strings.Repeat("A", maxCursor+1))
	raw, _ := base64.RawURLEncoding.DecodeString(genuine)
	for i := range raw {
		changed := append([]byte{}, raw...)
		changed[i] ^= 1
		f.Add(base64.RawURLEncoding.EncodeToString(changed))
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		at, err := s.open(cursor, 2)
		if cursor == genuine {
			require.NoError(t, err)
			require.Equal(t, position{Values: []*string{&text, nil}}, at)
			return
		}
		require.ErrorIs(t, err, ErrCursor)
	})
}

// FuzzCursorText: a text that was sealed by another version of the program does no harm.
func FuzzCursorText(f *testing.F) {
	f.Add("1")
	f.Add("zz")
	f.Add("")
	table := Define[row]("app.rows", nil)
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range table.columns {
			v, err := cursorValue(c, &text)
			if err != nil {
				continue
			}
			back, err := cursorText(v)
			require.NoError(t, err)
			again, err := cursorValue(c, back)
			require.NoError(t, err)
			if v == v { // not NaN
				require.Equal(t, v, again)
			}
		}
	})
}

func TestIDs(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(0x0123456789ab)
	maker := idsAt(now)
	last := ""
	for range 5000 {
		id := maker.next()
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
		require.Less(t, last, id, "ascending")
		last = id
	}
	require.True(t, strings.HasPrefix(idsAt(now).next(), "01234567-89ab-7"), "it begins with the time")
}

// TestStatements shows what PostgreSQL gets: explicit columns, quoted names, the tenant as a predicate.
func TestStatements(t *testing.T) {
	t.Parallel()
	table := Define[row]("app.rows", nil)
	const columns = `t."id", t."version", t."created_at", t."updated_at", t."title", t."stars", t."due"`
	require.Equal(t, `select `+columns+` from "app"."rows" as t where t."tenant_id" = $2 and (t."id" = $1)`, table.scoped.find.SQL())
	require.Equal(t, `select `+columns+` from "app"."rows" as t where (t."id" = $1)`, table.all.find.SQL())
	require.Equal(t, `update "app"."rows" as t set "title" = $1, "stars" = $2, "due" = $3, "version" = t."version" + 1, "updated_at" = now() `+
		`where t."tenant_id" = $6 and (t."id" = $4 and t."version" = $5) returning `+columns, table.scoped.update.SQL())
	require.Equal(t, `insert into "app"."rows" as t ("id", "version", "created_at", "updated_at", "title", "stars", "due", "tenant_id") `+
		`values ($1, 1, now(), now(), $2, $3, $4, $5::text)`, table.scoped.add.SQL())
	for _, c := range []struct{ order, want string }{
		{"title", `(t."title", t."id") > ($2, $3) order by t."title", t."id"`},
		{"-title", `(t."title", t."id") < ($2, $3) order by t."title" desc, t."id" desc`},
		{"title,-stars", `t."title" >= $2 and (t."title" > $2 or t."title" = $2 and t."stars" < $3 or t."title" = $2 and t."stars" = $3 and t."id" < $4) ` +
			`order by t."title", t."stars" desc, t."id" desc`},
		{"due", `((t."due" > $2 or t."due" is null) or t."due" = $2 and t."id" > $3) order by t."due", t."id"`},
		{"-due nulls last", `((t."due" < $2 or t."due" is null) or t."due" = $2 and t."id" < $3) order by t."due" desc nulls last, t."id" desc`},
	} {
		order, err := table.totalOrder(c.order, false)
		require.NoError(t, err)
		one := "1"
		at := &position{}
		for range order {
			at.Values = append(at.Values, &one)
		}
		op, err := table.pageOp("acme", Query{}, &keyset{order: order, limit: 9, from: at})
		require.NoError(t, err)
		_, got, _ := strings.Cut(op.SQL(), `t."tenant_id" = $1 and `)
		require.True(t, strings.HasPrefix(got, c.want+" limit $"), got)
	}
}

// TestTheTenantIsEstimated: of two tenants, one with most of the rows, the planner knows the share of each, which under the
// policy alone it does not.
func TestTheTenantIsEstimated(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, os.DirFS("testdata/migrations"))
	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	type tagged struct {
		ID      string `db:"id,pk,auto"`
		Version int64  `db:"version,version"`
		Name    string
	}
	table := Define[tagged]("app.taggeds", nil)
	for i := range 40 {
		n := 1
		if i == 0 {
			n = 4000
		}
		require.NoError(t, table.InsertAll(tenancy.WithID(t.Context(), fmt.Sprint("tenant", i)), db, make([]tagged, n)))
	}
	_, err = pg.Owner.Exec(t.Context(), "analyze app.taggeds")
	require.NoError(t, err)
	estimate := func(tenant, sql string, args ...any) float64 {
		ctx := tenancy.WithID(t.Context(), tenant)
		plan, err := tenancy.One[string](ctx, db, "explain (format json) "+sql, args...)
		require.NoError(t, err)
		var list []struct {
			Plan struct {
				Rows float64 `json:"Plan Rows"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(plan), &list))
		return list[0].Plan.Rows
	}
	for tenant, rows := range map[string]float64{"tenant0": 4000, "tenant7": 1} {
		op, err := table.selection(rowop.Select, tenant, Query{})
		require.NoError(t, err)
		require.InEpsilon(t, rows, estimate(tenant, op.SQL(), op.Args...), 0.05)
		bare := estimate(tenant, `select id from app.taggeds`)
		require.Greater(t, math.Abs(bare-rows)/rows, 0.5, "else the predicate is not needed any more")
	}
}
