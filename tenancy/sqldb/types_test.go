package sqldb_test

import (
	"database/sql"
	"fmt"
	"reflect"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
)

const (
	eventually = time.Minute
	tick       = 5 * time.Millisecond
)

// TestValuesAreThoseOfStdlib reads each type, NULL too, here and through pgx's own database/sql driver.
func TestValuesAreThoseOfStdlib(t *testing.T) {
	t.Parallel()
	w := open(t)
	plain, err := sql.Open("pgx", w.pg.AppURL)
	require.NoError(t, err)
	defer plain.Close()
	ctx := w.tenant("acme")
	_, err = w.pg.Owner.Exec(ctx, `create type textrange as range (subtype = text)`)
	require.NoError(t, err)
	for _, expr := range []string{
		`true`, `'a'::text`, `'a'::varchar(7)`, `'a'::char(3)`, `'a'::name`, `'\xdead'::bytea`, `'x'::"char"`,
		`1::int2`, `-1::int4`, `9007199254740993::int8`, `1.5::float4`, `'nan'::float8`, `1e300::float8`,
		`1.50::numeric(10,2)`, `'nan'::numeric`, `12345678901234567890.123456789::numeric`, `0.000::numeric`, `100.0000::numeric`, `-0.5000::numeric`, `1e20::numeric`, `'infinity'::numeric`, `-1e-9::numeric`, `10000::numeric`, `-123456789.0001::numeric`, `1e131071::numeric`, `1e-16383::numeric`, `0.00001::numeric`, `'-infinity'::numeric`,
		`7::oid`, `'7'::xid`, `'7'::cid`, `'2026-02-28'::date`, `'infinity'::date`, `'2026-02-28 10:00:01.5'::timestamp`,
		`'2026-02-28 10:00:01.5+02'::timestamptz`, `'infinity'::timestamptz`, `'10:00:01.5'::time`, `'10:00+02'::timetz`,
		`'{"a": [1, null]}'::json`, `'{"a": [1, null]}'::jsonb`, `'<a/>'::xml`,
		`'5b30857f-0bfa-48b5-ac0b-5c64e28078d1'::uuid`, `'10.0.0.1/8'::inet`, `'10.0.0.1'::inet`, `'10.0.0.0/8'::cidr`, `'08:00:2b:01:02:03'::macaddr`,
		`'{1,2,null}'::int4[]`, `'{a,"b c",null,"d\"e"}'::text[]`, `'{{1,2},{3,4}}'::int8[]`, `'{}'::text[]`, `'{t,f}'::bool[]`,
		`'{5b30857f-0bfa-48b5-ac0b-5c64e28078d1}'::uuid[]`,
		`'[1,5)'::int4range`, `'(,2]'::int8range`, `'empty'::int4range`, `'("a b","c,d"]'::textrange`, `'[2026-01-01 10:00,)'::tsrange`, `'101'::bit(3)`, `'101'::varbit`, `'(1,2)'::point`, `row(1,'a')`, `row(null, '', 'a "b" \c', row(1, true), array[1,2])`, `'{}'::numeric[]`, `'{1.50,100.00}'::numeric[]`, `'[0:1]={1,2}'::int4[]`, `array['','NULL','a\b','{']`, `array['\x01'::bytea]`, `array['10:00'::time]`, `array['10.0.0.1'::inet]`, `array[1.5::float8, 'nan']`,
		`'a:1 b:2'::tsvector`, `'a & b'::tsquery`, `'$.a'::jsonpath`, `'pg_class'::regclass`, `'1 day'::interval`, `'0'::interval`, `'1 year 2 mons 3 days 04:05:06.7'::interval`, `'-1 year +1 day -00:00:01'::interval`, `'-36 hours'::interval`, `'-1 mon 1 sec'::interval`,
		`'24:00'::time`, `'2001:db8::1'::inet`, `'2001:db8::/32'::cidr`,
	} {
		for _, expr := range []string{expr, "nullif(" + expr + ", " + expr + ")"} {
			ours, errOurs := read(w.std.QueryContext(ctx, "select "+expr+" as x"))
			theirs, errTheirs := read(plain.QueryContext(ctx, "select "+expr+" as x"))
			if errTheirs != nil { // a type without equality
				require.Error(t, errOurs, expr)
				continue
			}
			require.NoError(t, errOurs, expr)
			require.Equal(t, theirs, ours, expr)
		}
	}
}

// read returns everything that database/sql tells about the only value.
func read(rows *sql.Rows, err error) (map[string]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	length, hasLength := types[0].Length()
	precision, scale, hasScale := types[0].DecimalSize()
	var v any
	for rows.Next() {
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
	}
	if at, ok := v.(time.Time); ok {
		v = at.UTC()
	}
	return map[string]string{
		"name": types[0].Name(), "type": types[0].DatabaseTypeName(), "length": fmt.Sprint(length, hasLength), "size": fmt.Sprint(precision, scale, hasScale),
		"scan": types[0].ScanType().String(), "value": fmt.Sprintf("%v %v", reflect.TypeOf(v), v),
	}, rows.Err()
}
