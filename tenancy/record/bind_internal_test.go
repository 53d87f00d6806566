package record

import (
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlexpr"
)

type (
	masked string          // prints the same, whatever it is
	code   struct{ n int } // says the same as a masked
	day    struct{ at time.Time }
	loud   struct{ err error }
	asked  struct{ said *string }
)

func (masked) String() string               { return "***" }
func (masked) Value() (driver.Value, error) { return "***", nil }
func (code) Value() (driver.Value, error)   { return "***", nil }
func (l loud) Value() (driver.Value, error) { return nil, l.err }

// Value is asked of nil, too.
func (a *asked) Value() (driver.Value, error) {
	if a == nil {
		return "nothing", nil
	}
	return *a.said, nil
}

// localA and localB return types of one name.
func localA() any { type local []byte; return local("x") }
func localB() any { type local []string; return local{"x"} }

// lookalikes are argument lists of which each stands for another filter, though many print alike. Each call makes them anew.
func lookalikes() [][]any {
	noon := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	berlin := time.FixedZone("X", 3600)
	ptr := func(s string) *string { return &s }
	var none *string
	var unasked *asked
	return [][]any{
		{}, {nil}, {nil, nil}, {none}, {unasked}, {[]byte(nil)}, {[]byte{}}, {[]string(nil)}, {[]string{}}, {""},
		{"1"}, {1}, {int64(1)}, {int32(1)}, {uint(1)}, {1.0}, {float32(1)}, {true}, {'1'}, {[]byte("1")}, {[]any{"1"}}, {[]any{1}},
		{"a b"}, {"a", "b"}, {[]string{"a b"}}, {[]string{"a", "b"}}, {[]any{"a", "b"}}, {[2]string{"a", "b"}}, {[]string{"a"}, "b"},
		{[][]string{{"a"}, {"b"}}}, {[][]string{{"a", "b"}}}, {[][]string{{"a", "b"}, {}}}, {[][]string{{"a", "b"}, nil}},
		{ptr("a")}, {"a"}, {[]*string{ptr("a")}}, {[]*string{ptr("b")}}, {[]*string{nil}}, {[]string{""}},
		{masked("a")}, {masked("b")}, {[]masked{"a"}}, {[]masked{"b"}}, {code{1}}, {code{2}}, {"***"}, {&asked{ptr("nothing")}},
		{sql.NullString{}}, {sql.NullString{String: "x"}}, {sql.NullString{String: "x", Valid: true}}, {"x"}, {localA()}, {localB()},
		{noon}, {noon.In(berlin)}, {noon.Add(time.Nanosecond)}, {noon.String()}, {&noon}, {day{noon}}, {day{noon.In(berlin)}}, {[1]day{{noon}}},
		{time.Hour}, {int64(time.Hour)}, {math.NaN()}, {0.0}, {math.Copysign(0, -1)}, {math.Nextafter(0.3, 1)}, {0.3}, {math.Inf(1)}, {"+Inf"},
		{map[string]any{"a": 1, "b": 2}}, {map[string]any{"a": 2, "b": 1}}, {map[string]any{"a": "1", "b": 2}}, {map[string]int{"a": 1, "b": 2}},
		{map[any]int{"1": 1}}, {map[any]int{1: 1}}, {map[string]day{"a": {noon}}}, {struct{ A, B string }{"a b", ""}}, {struct{ A, B string }{"a", "b "}},
		{big.NewInt(7)}, {big.NewInt(-7)}, {netip.MustParseAddr("::1")}, {netip.MustParseAddr("::1%eth0")}, {complex(1, 0)}, {complex(0, 1)},
	}
}

// TestBindingsTellFiltersApart compares all pairs of arguments that look alike, and shows that a binding by printing, as
// format 1 was, takes some for each other.
func TestBindingsTellFiltersApart(t *testing.T) {
	t.Parallel()
	table := Define[row]("app.rows", nil)
	order, err := table.totalOrder("title", false)
	require.NoError(t, err)
	bound, printed, mixed := map[string]int{}, map[string]int{}, 0
	lists, again := lookalikes(), lookalikes()
	for i, args := range lists {
		b, err := table.binding("acme", Query{Args: args}, order)
		require.NoError(t, err, "%#v", args)
		other, twin := bound[string(b)]
		require.False(t, twin, "%#v is bound as %#v", args, lists[other])
		bound[string(b)] = i
		same, err := table.binding("acme", Query{Args: again[i]}, order)
		require.NoError(t, err)
		require.Equal(t, b, same, "%#v made anew", args)

		text := fmt.Sprint(len(args))
		for _, a := range args {
			v := sqlexpr.Plain(a)
			text += fmt.Sprintf("|%T %v", v, v)
		}
		if _, twin := printed[text]; twin {
			mixed++
		}
		printed[text] = i
	}
	require.Greater(t, mixed, 10, "the planted binding mixes nothing up: the test shows nothing")
}

// TestBindingsTellQueriesApart moves text from one part of a query into the next.
func TestBindingsTellQueriesApart(t *testing.T) {
	t.Parallel()
	rows, other := Define[row]("app.rows", nil), Define[row]("app.row", nil)
	bound := map[string]string{}
	for _, table := range []*Table[row]{rows, other} {
		for _, tenant := range []string{"acme", "acm", ""} {
			for _, by := range []string{"title", "-title", "title nulls first", "title,stars", "stars,title", ""} {
				for _, where := range []string{"", "e", "s", "true"} {
					for _, deleted := range []bool{false, true} {
						for _, args := range [][]any{nil, {""}, {"e"}} {
							order, err := table.totalOrder(by, false)
							require.NoError(t, err)
							b, err := table.binding(tenant, Query{Where: where, WithDeleted: deleted, Args: args}, order)
							require.NoError(t, err)
							this := fmt.Sprintf("%s %q %q %q %v %q", table.table, tenant, by, where, deleted, args)
							require.Empty(t, bound[string(b)], this)
							bound[string(b)] = this
						}
					}
				}
			}
		}
	}
}

func TestArgumentsThatCannotBeBound(t *testing.T) {
	t.Parallel()
	table := Define[row]("app.rows", nil)
	circle := []any{nil}
	circle[0] = circle
	failed := errors.New("says nothing")
	for _, arg := range []any{func() {}, make(chan int), []any{func() {}}, map[string]any{"a": make(chan int)}, circle, loud{failed}} {
		_, err := table.keyset("acme", Query{Where: "title = $2", Args: []any{"x", arg}})
		require.ErrorIs(t, err, ErrArgument)
		require.ErrorContains(t, err, "$2")
	}
	_, err := table.keyset("acme", Query{Args: []any{loud{failed}}})
	require.ErrorIs(t, err, failed)
}

// TestBindingsIgnoreTheMonotonicClock: a time that was read from the clock is the same filter as one that was parsed, in
// whatever it is.
func TestBindingsIgnoreTheMonotonicClock(t *testing.T) {
	t.Parallel()
	table := Define[row]("app.rows", nil)
	now := time.Now()
	bare := now.Round(0) // without the reading
	require.NotEqual(t, now.String(), bare.String(), "the clock has no monotonic reading: the test shows nothing")
	in := func(at time.Time) []any {
		d := day{at}
		return []any{at, &at, d, &d, []day{d}, [1]day{d}, &[1]day{d}, [1][1]day{{d}}, struct{ days [1]day }{[1]day{d}},
			map[string]day{"a": d}, map[string][1]day{"a": {d}}, []any{[1]day{d}}, map[string]any{"a": [1]day{d}}}
	}
	one, other := in(now), in(bare)
	for i := range one {
		x, err := table.binding("acme", Query{Args: one[i : i+1]}, nil)
		require.NoError(t, err)
		y, err := table.binding("acme", Query{Args: other[i : i+1]}, nil)
		require.NoError(t, err)
		require.Equal(t, x, y, "%T", one[i])
	}
}

// FuzzBinding: two argument lists are bound alike if, and only if, they were made alike.
func FuzzBinding(f *testing.F) {
	f.Add([]byte("\x01a\x01b"), []byte("\x01a\x02b"))
	f.Add([]byte{6, 2, 1, 1, 'a', 1, 1, 'b'}, []byte{6, 1, 1, 3, 'a', ' ', 'b'})
	f.Add([]byte{8, 1, 1, 1, 'a', 0}, []byte{8, 1, 1, 1, 'a', 7, 1})
	table := Define[row]("app.rows", nil)
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, b := maker{data: one}, maker{data: two}
		x, err := table.binding("acme", Query{Args: a.list(3)}, nil)
		require.NoError(t, err)
		y, err := table.binding("acme", Query{Args: b.list(3)}, nil)
		require.NoError(t, err)
		require.Equal(t, slices.Equal(a.made, b.made), string(x) == string(y), "%q and %q", a.made, b.made)
	})
}

// maker makes values of bytes, and notes how.
type maker struct {
	data []byte
	made []string
}

func (m *maker) next() (b byte) {
	if len(m.data) > 0 {
		b, m.data = m.data[0], m.data[1:]
	}
	return b
}

func (m *maker) word() string {
	n := min(int(m.next())%9, len(m.data))
	s := string(m.data[:n])
	m.data = m.data[n:]
	return s
}

func (m *maker) number() uint64 {
	var b [8]byte
	copy(b[:], m.word())
	return binary.LittleEndian.Uint64(b[:])
}

func (m *maker) note(kind string, v any) any {
	m.made = append(m.made, fmt.Sprintf("%s %q", kind, fmt.Sprint(v)))
	return v
}

func (m *maker) list(depth int) []any {
	n := int(m.next()) % 4
	m.note("list", n)
	list := make([]any, n)
	for i := range list {
		list[i] = m.value(depth)
	}
	return list
}

func (m *maker) value(depth int) any {
	switch kind := m.next() % 12; {
	case kind == 1:
		return m.note("string", m.word())
	case kind == 2:
		s := m.word()
		m.note("bytes", s)
		return []byte(s)
	case kind == 3:
		return m.note("int", int64(m.number()))
	case kind == 4:
		bits := m.number()
		m.note("float", bits)
		return math.Float64frombits(bits)
	case kind == 5:
		s := strings.Fields(m.word())
		m.note("strings", fmt.Sprintf("%q", s))
		return s
	case kind == 6:
		s := m.word()
		m.note("masked", s)
		return masked(s)
	case kind == 7:
		return m.note("bool", m.next()%2 == 1)
	case kind == 8:
		sec, zone := int64(m.number()>>30), int(m.next())*60
		m.note("time", fmt.Sprint(sec, zone))
		return time.Unix(sec, 0).In(time.FixedZone("Z", zone))
	case kind == 9 && depth > 0:
		m.note("pointer", "")
		v := m.value(depth - 1)
		return &v
	case kind == 10 && depth > 0:
		return m.list(depth - 1)
	case kind == 11 && depth > 0:
		m.note("map", "")
		return map[string]any{"a": m.value(depth - 1), "b": m.value(depth - 1)}
	}
	return m.note("nil", nil)
}
