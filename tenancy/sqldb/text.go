package sqldb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// text writes a binary value as the server would have: pgx/stdlib asks the server for text, but a unit's statement travels
// in a batch, where pgx chooses binary for the types that it knows.
func text(m *pgtype.Map, oid uint32, raw []byte) (string, error) {
	t, ok := m.TypeForOID(oid)
	if !ok {
		return "", fmt.Errorf("type %d came in binary and is not known to pgx", oid)
	}
	r := &reader{raw: raw}
	var out string
	switch c := t.Codec.(type) {
	case pgtype.NumericCodec:
		return numericText(r)
	case pgtype.TimeCodec:
		out = clock(int64(r.uint64()))
	case pgtype.IntervalCodec:
		out = intervalText(int64(r.uint64()), int(r.int32()), int(r.int32()))
	case pgtype.BoolCodec:
		out = map[bool]string{true: "t", false: "f"}[len(raw) == 1 && raw[0] == 1]
	case *pgtype.ArrayCodec:
		return arrayText(m, r)
	case *pgtype.RangeCodec:
		return rangeText(m, c.ElementType.OID, r)
	case pgtype.RecordCodec, *pgtype.CompositeCodec:
		return recordText(m, r)
	case pgtype.InetCodec:
		s, err := encoded(m, oid, raw)
		if oid == pgtype.InetOID && (len(raw) == 8 && raw[1] == 32 || len(raw) == 20 && raw[1] == 128) {
			s, _, _ = strings.Cut(s, "/") // a single host
		}
		return s, err
	default:
		return encoded(m, oid, raw)
	}
	return out, r.err
}

// encoded lets pgx decode and encode again.
func encoded(m *pgtype.Map, oid uint32, raw []byte) (string, error) {
	t, _ := m.TypeForOID(oid)
	v, err := t.Codec.DecodeValue(m, oid, pgtype.BinaryFormatCode, raw)
	if err != nil {
		return "", err
	}
	b, err := m.Encode(oid, pgtype.TextFormatCode, v, nil)
	return string(b), err
}

// numericText writes a numeric from its digits of base 10,000: by way of pgx's big.Int, the longest take a second. pgx also
// drops the zeros behind the last digit that PostgreSQL shows: 100.00.
func numericText(r *reader) (string, error) {
	n, weight, sign, scale := int(r.uint16()), int(int16(r.uint16())), r.uint16(), int(r.uint16())
	special, known := map[uint16]string{0: "", 0x4000: "-", 0xc000: "NaN", 0xd000: "Infinity", 0xf000: "-Infinity"}[sign]
	switch {
	case r.err != nil:
		return "", r.err
	case !known || scale > 1<<14-1: // PostgreSQL's limit
		return "", fmt.Errorf("numeric of sign %x and %d decimal places", sign, scale)
	case sign >= 0xc000:
		return special, nil
	}
	digits := r.take(2 * n)
	if r.err != nil {
		return "", r.err
	}
	out := []byte(special)
	group := func(i int) (v int) { // the ith digit; the first one counts 10,000^weight
		if i >= 0 && i < n {
			v = int(binary.BigEndian.Uint16(digits[2*i:]))
		}
		return v
	}
	out = strconv.AppendInt(out, int64(group(min(0, weight))), 10)
	for i := 1; i <= weight; i++ {
		out = fmt.Appendf(out, "%04d", group(i))
	}
	if scale == 0 {
		return string(out), nil
	}
	out = append(out, '.')
	end := len(out) + scale
	for i := weight + 1; len(out) < end; i++ {
		out = fmt.Appendf(out, "%04d", group(i))
	}
	return string(out[:end]), nil
}

// clock writes microseconds as hours, minutes and seconds.
func clock(micros int64) string {
	s := micros / 1e6
	out := fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
	if f := micros % 1e6; f != 0 {
		out += strings.TrimRight(fmt.Sprintf(".%06d", f), "0")
	}
	return out
}

// intervalText writes an interval in the server's default style. A positive field behind a negative one gets a sign.
func intervalText(micros int64, days, months int) string {
	var out []string
	before := false
	for _, f := range []struct {
		n    int
		unit string
	}{{months / 12, "year"}, {months % 12, "mon"}, {days, "day"}} {
		if f.n == 0 {
			continue
		}
		s := strconv.Itoa(f.n) + " " + f.unit
		if f.n != 1 {
			s += "s"
		}
		if before && f.n > 0 {
			s = "+" + s
		}
		before = f.n < 0
		out = append(out, s)
	}
	switch {
	case micros < 0:
		out = append(out, "-"+clock(-micros))
	case micros > 0 && before:
		out = append(out, "+"+clock(micros))
	case micros > 0 || len(out) == 0:
		out = append(out, clock(micros))
	}
	return strings.Join(out, " ")
}

// arrayText reads dimensions, a flag, the type of the elements, length and lower bound of each dimension, and elements.
func arrayText(m *pgtype.Map, r *reader) (string, error) {
	dims := int(r.int32())
	r.int32()
	oid := uint32(r.int32())
	switch {
	case r.err != nil:
		return "", r.err
	case dims == 0:
		return "{}", nil
	case dims < 0 || dims > 6: // PostgreSQL's limit
		return "", fmt.Errorf("array of %d dimensions", dims)
	}
	lengths, bounds, plain := make([]int, dims), "", true
	room := len(r.raw) / 4 // an element has a length of its own
	for i := range lengths {
		lengths[i] = int(r.int32())
		lower := int(r.int32())
		plain = plain && lower == 1
		bounds += fmt.Sprintf("[%d:%d]", lower, lower+lengths[i]-1)
		if lengths[i] < 1 || lengths[i] > room {
			return "", errShort
		}
		room /= lengths[i]
	}
	out := &strings.Builder{}
	if !plain {
		out.WriteString(bounds + "=")
	}
	var level func(dim int) error
	level = func(dim int) error {
		out.WriteByte('{')
		for i := range lengths[dim] {
			if i > 0 {
				out.WriteByte(',')
			}
			if dim < dims-1 {
				if err := level(dim + 1); err != nil {
					return err
				}
				continue
			}
			raw, null := r.value()
			if r.err != nil {
				return r.err
			}
			if null {
				out.WriteString("NULL")
				continue
			}
			s, err := text(m, oid, raw)
			if err != nil {
				return err
			}
			if s == "" || strings.EqualFold(s, "null") || strings.ContainsAny(s, "{}\",\\ \t\n\v\f\r") {
				s = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
			}
			out.WriteString(s)
		}
		out.WriteByte('}')
		return nil
	}
	err := level(0)
	return out.String(), err
}

// recordText reads the number of columns, then type and value of each.
func recordText(m *pgtype.Map, r *reader) (string, error) {
	list := make([]string, max(0, min(int(r.int32()), 1664)))
	for i := range list {
		oid := uint32(r.int32())
		raw, null := r.value()
		if r.err != nil {
			return "", r.err
		}
		if null {
			continue
		}
		s, err := text(m, oid, raw)
		if err != nil {
			return "", err
		}
		list[i] = doubled(s, "(),\"\\ \t\n\v\f\r")
	}
	return "(" + strings.Join(list, ",") + ")", r.err
}

// rangeText reads flags and the bounds that exist.
func rangeText(m *pgtype.Map, oid uint32, r *reader) (string, error) {
	const empty, lowerIn, upperIn, noLower, noUpper = 1, 2, 4, 8, 16
	flags := r.byte()
	if flags&empty != 0 {
		return "empty", r.err
	}
	var bounds [2]string
	for i, missing := range []byte{noLower, noUpper} {
		if flags&missing != 0 {
			continue
		}
		raw, _ := r.value()
		if r.err != nil {
			return "", r.err
		}
		s, err := text(m, oid, raw)
		if err != nil {
			return "", err
		}
		bounds[i] = doubled(s, "()[],\"\\ \t\n\v\f\r")
	}
	left, right := "(", ")"
	if flags&lowerIn != 0 {
		left = "["
	}
	if flags&upperIn != 0 {
		right = "]"
	}
	return left + bounds[0] + "," + bounds[1] + right, nil
}

// doubled quotes s where it must be, in the style of records and ranges.
func doubled(s, special string) string {
	if s != "" && !strings.ContainsAny(s, special) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `""`).Replace(s) + `"`
}

var errShort = errors.New("binary value is too short")

// reader reads binary values; after the first error it reads zeros.
type reader struct {
	raw []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.raw) {
		r.err = errShort
		return make([]byte, max(0, min(n, 8)))
	}
	b := r.raw[:n]
	r.raw = r.raw[n:]
	return b
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) int32() int32   { return int32(binary.BigEndian.Uint32(r.take(4))) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// value reads a length, -1 for NULL, and so many bytes.
func (r *reader) value() (raw []byte, null bool) {
	n := r.int32()
	if n == -1 {
		return nil, true
	}
	return r.take(int(n)), false
}
