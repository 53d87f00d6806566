package tenancy_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

type address struct {
	Street string `json:"street"`
	Lines  []int  `json:"lines"`
}

// tagged embeds and renames, as rows do.
type tagged struct {
	address
	Town string `db:"city,readonly"`
}

// TestOneColumnThatIsAStruct: what is scanned as a row and what as a value, and what an error says.
func TestOneColumnThatIsAStruct(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	acme := tenancy.WithID(t.Context(), "acme")
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	period := pgtype.Range[time.Time]{Lower: day, Upper: day.AddDate(0, 1, 0), LowerType: pgtype.Inclusive, UpperType: pgtype.Exclusive, Valid: true}
	home := address{"High St", []int{1, 2}}
	const aRange, aDocument = `select tstzrange($1, $2)`, `select $1::jsonb`

	for _, where := range []func(func(tenancy.Querier)){
		func(ask func(tenancy.Querier)) { ask(db) },
		func(ask func(tenancy.Querier)) {
			require.NoError(t, db.Do(acme, func(_ context.Context, tx *tenancy.Tx) error { ask(tx); return nil }))
		},
	} {
		where(func(q tenancy.Querier) {
			r, err := tenancy.One[pgtype.Range[time.Time]](acme, q, aRange, period.Lower, period.Upper)
			require.NoError(t, err)
			require.True(t, r.Lower.Equal(period.Lower) && r.Upper.Equal(period.Upper) && r.LowerType == pgtype.Inclusive && r.Valid)
			doc, err := tenancy.One[address](acme, q, aDocument, home)
			require.NoError(t, err)
			require.Equal(t, home, doc)
			docs, err := tenancy.All[address](acme, q, `select to_jsonb(d) from (values ('a', array[1]), ('b', null)) d (street, lines)`)
			require.NoError(t, err)
			require.Equal(t, []address{{"a", []int{1}}, {"b", nil}}, docs)
			maybe, err := tenancy.One[*address](acme, q, `select null::json`)
			require.NoError(t, err)
			require.Nil(t, maybe)
			list, err := tenancy.One[pgtype.Array[int32]](acme, q, `select array[1, 2]`)
			require.NoError(t, err)
			require.Equal(t, []int32{1, 2}, list.Elements)

			// A column with the name of a field is that field.
			one, err := tenancy.One[struct{ Body string }](acme, q, `select 'x' as body`)
			require.NoError(t, err)
			require.Equal(t, "x", one.Body)
			row, err := tenancy.One[tagged](acme, q, `select 's' as street, array[3] as lines, 'c' as city`)
			require.NoError(t, err)
			require.Equal(t, tagged{address{"s", []int{3}}, "c"}, row)
		})
	}
	_, err := tenancy.One[tagged](acme, db, `select 'c' as "CITY"`)
	require.ErrorContains(t, err, "Street", "a row that lacks columns, not a document")
	_, err = tenancy.One[tagged](acme, db, `select '{"town": "c"}'::jsonb as _lines`)
	require.ErrorContains(t, err, "Street")
	_, err = tenancy.One[address](acme, db, `select 'x' as other`)
	require.ErrorContains(t, err, `"other", is no field of tenancy_test.address`)
	require.ErrorContains(t, err, "Query")
	_, err = tenancy.One[address](acme, db, `select null::jsonb`)
	require.ErrorContains(t, err, "Query", "nothing is no document")
	require.NoError(t, db.Do(acme, func(context.Context, *tenancy.Tx) error { return nil }), "the connection is as good as before")
}

// TestOneColumnInMemory: a handler's answer is scanned by the same rules.
func TestOneColumnInMemory(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	acme := tenancy.WithID(t.Context(), "acme")
	period := pgtype.Range[int]{Lower: 1, Upper: 2, Valid: true}
	home := address{"High St", []int{1}}
	kit.Handle("range", func(context.Context, ...any) (any, error) { return period, nil })
	kit.Handle("document", func(context.Context, ...any) (any, error) { return []struct{ Doc address }{{home}}, nil })
	kit.Handle("other", func(context.Context, ...any) (any, error) { return []struct{ Doc string }{{"x"}}, nil })
	r, err := tenancy.One[pgtype.Range[int]](acme, kit.DB(), "range")
	require.NoError(t, err)
	require.Equal(t, period, r)
	docs, err := tenancy.All[address](acme, kit.DB(), "document")
	require.NoError(t, err)
	require.Equal(t, []address{home}, docs)
	_, err = tenancy.One[address](acme, kit.DB(), "other")
	require.ErrorContains(t, err, "Query")
}
