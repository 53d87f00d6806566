package sqldb

import (
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// FuzzText: whatever bytes come, the answer is a text or an error.
func FuzzText(f *testing.F) {
	m := pgtype.NewMap()
	for oid, v := range map[uint32]any{
		pgtype.TextArrayOID: []string{"a", ""}, pgtype.Int8ArrayOID: [][]int64{{1, 2}, {3, 4}}, pgtype.NumericOID: "100.00",
		pgtype.IntervalOID: "1 day", pgtype.TimeOID: "10:00:00", pgtype.InetOID: "10.0.0.1/32",
	} {
		if s, ok := v.(string); ok {
			var err error
			t, _ := m.TypeForOID(oid)
			if v, err = t.Codec.DecodeValue(m, oid, pgtype.TextFormatCode, []byte(s)); err != nil {
				f.Fatal(err)
			}
		}
		raw, err := m.Encode(oid, pgtype.BinaryFormatCode, v, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(oid, raw)
	}
	f.Add(uint32(pgtype.Int4rangeOID), []byte("\x02\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x05"))
	f.Add(uint32(pgtype.RecordOID), []byte("\x00\x00\x00\x01\x00\x00\x00\x19\xff\xff\xff\xff"))
	f.Add(uint32(pgtype.TextArrayOID), []byte("\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x19"))
	f.Add(uint32(pgtype.TextArrayOID), []byte("\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x19\x7f\xff\xff\xff\x00\x00\x00\x01\x7f\xff\xff\xff\x00\x00\x00\x01"))
	f.Add(uint32(pgtype.NumericOID), []byte("\x00\x02\x7f\xff\x00\x00\x3f\xff\x00\x01\x00\x01")) // the longest
	f.Add(uint32(pgtype.NumericOID), []byte("\x00\x02\x00\x01\x00\x00\xff\xff\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, oid uint32, raw []byte) {
		out, err := text(m, oid, raw)
		// The longest text of the fewest bytes is a numeric, whose 8 bytes may stand for 2^17 digits and 2^14 decimal places.
		if most := (1 + len(raw)/8) * (1<<17 + 1<<14 + 2); err == nil && len(out) > most {
			t.Fatalf("%d bytes became %d", len(raw), len(out))
		}
	})
}

// FuzzInspect: what is refused stays refused behind comments, in other case and among other statements.
func FuzzInspect(f *testing.F) {
	for _, s := range []string{"set a = b", "select 1; commit", "savepoint \"a b\"", "rollback to savepoint x", "release", "/*", "';", "declare c cursor with", "rollback to"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		_, err := inspect(query)
		if err == nil {
			return
		}
		for _, same := range []string{"/* c */ " + query, "-- c\n" + query, "select 1; " + query} {
			if _, again := inspect(same); again == nil {
				t.Fatalf("%q is refused and %q is not", query, same)
			}
		}
	})
}
