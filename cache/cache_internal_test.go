package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzKeysDoNotCollide(f *testing.F) {
	long := strings.Repeat("x", 300)
	for _, s := range [][6]string{
		{"a", "b:c", "k", "a", "b", "c:k"},
		{"a", "", "b:k", "a", "b", "k"},
		{"a", "t", long, "a", "t", bound(long)},
		{"a", "%3A", "", "a", ":", ""},
		{"a", "~", "~", "a", "~~", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3], s[4], s[5])
	}
	f.Fuzz(func(t *testing.T, c1, t1, k1, c2, t2, k2 string) {
		if !nameRule.MatchString(c1) || !nameRule.MatchString(c2) {
			return
		}
		same := c1 == c2 && t1 == t2 && k1 == k2
		require.Equal(t, same, entryKey(c1, t1, k1) == entryKey(c2, t2, k2))
		require.Equal(t, t1 == t2 && k1 == k2, tagKey(t1, k1) == tagKey(t2, k2))
		require.Equal(t, t1 == t2, tenantKey(t1) == tenantKey(t2))
		require.Equal(t, t1 == t2 && c1 == c2, cacheKey(c1, t1) == cacheKey(c2, t2))
		if t1 == "" || t2 == "" {
			return // tenantKey of none is scopeAll
		}
		for _, a := range []string{tagKey(t1, k1), cacheKey(c1, t1), tenantKey(t1), scopeAll} {
			n := 0
			for _, b := range []string{tagKey(t2, k2), cacheKey(c2, t2), tenantKey(t2), scopeAll} {
				if a == b {
					n++
				}
			}
			require.LessOrEqual(t, n, 1)
		}
		require.LessOrEqual(t, len(entryKey(c1, t1, k1)), 64+2+2*(maxPart+1))
	})
}

type pair struct{ A, B string }

func FuzzStructKeysDoNotCollide(f *testing.F) {
	f.Add("a/b", "c", "a", "b/c")
	f.Add("a%2Fb", "", "a/b", "")
	f.Add("", "/", "/", "")
	enc, err := keyEncoder(reflect.TypeFor[pair]())
	require.NoError(f, err)
	nested, err := keyEncoder(reflect.TypeFor[[2]pair]())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, a1, b1, a2, b2 string) {
		p1, p2 := pair{a1, b1}, pair{a2, b2}
		k1, err := enc(reflect.ValueOf(p1))
		require.NoError(t, err)
		k2, err := enc(reflect.ValueOf(p2))
		require.NoError(t, err)
		require.Equal(t, p1 == p2, k1 == k2)
		n1, err := nested(reflect.ValueOf([2]pair{p1, p2}))
		require.NoError(t, err)
		n2, err := nested(reflect.ValueOf([2]pair{p2, p1}))
		require.NoError(t, err)
		require.Equal(t, p1 == p2, n1 == n2)
	})
}

func TestKeyTypes(t *testing.T) {
	t.Parallel()
	for want, key := range map[string]any{
		"42": int64(42), "-7": int8(-7), "255": uint8(255), "true": true, "a:b": "a:b",
		"1/2/3": [3]byte{1, 2, 3}, "x/y": pair{"x", "y"}, "a%2Fb/%25": pair{"a/b", "%"},
		"2026-01-02T00:00:00Z": time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
	} {
		enc, err := keyEncoder(reflect.TypeOf(key))
		require.NoError(t, err)
		got, err := enc(reflect.ValueOf(key))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func FuzzParseBody(f *testing.F) {
	full := body{schema: 1 << 60, fresh: time.Minute, life: time.Hour, cost: time.Millisecond, payload: []byte(`{"a":1}`)}
	f.Add(full.append(nil))
	f.Add((&body{validator: "W/\"r7\"", ownTTL: true, fresh: time.Minute, life: time.Hour, payload: []byte("7")}).append(nil))
	f.Add((&body{tags: []string{"a", "", "author:7"}, validator: "v", fresh: time.Minute, life: time.Hour, payload: []byte("7")}).append(nil))
	f.Add((&body{tags: []string{"a"}, notFound: true, packed: true}).append(nil))
	f.Add((&body{notFound: true, fresh: time.Second, life: time.Second}).append(nil))
	f.Add([]byte{})
	f.Add([]byte("2\x00aaaaaaaa\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("2\xffaaaaaaaa\x01\x01\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBody(data)
		if err != nil { // most often for its sum, which hides the rest
			if b, err = parseBody(binary.BigEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))); err != nil {
				return
			}
		}
		require.NoError(t, checkOwn(b.tags))
		require.True(t, b.fresh >= 0 && b.life >= 0 && b.cost >= 0, "%+v", b)
		again, err := parseBody(b.append(nil))
		require.NoError(t, err)
		require.True(t, bytes.Equal(b.payload, again.payload))
		b.payload, again.payload = nil, nil
		require.Equal(t, b, again)
	})
}

// level is a number that is written as a text.
type level int

func (level) MarshalText() ([]byte, error) { return []byte("high"), nil }

func TestSchema(t *testing.T) {
	t.Parallel()
	type node struct {
		Next *node
		N    int
	}
	type tagged struct {
		N int `json:"n"`
	}
	type deep struct{ List map[string][]tagged }
	type Base struct{ N int }
	type embedded struct{ Base }
	type named struct{ Base Base }
	type status struct{ S int }
	type written struct{ S level }
	seen := map[uint64]reflect.Type{}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[int](), reflect.TypeFor[int64](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](),
		reflect.TypeFor[[4]byte](), reflect.TypeFor[[5]byte](), reflect.TypeFor[map[string]int](), reflect.TypeFor[map[int]string](),
		reflect.TypeFor[struct{ N int }](), reflect.TypeFor[struct{ M int }](), reflect.TypeFor[tagged](), reflect.TypeFor[*tagged](),
		reflect.TypeFor[node](), reflect.TypeFor[deep](), reflect.TypeFor[struct{ N, M int }](), reflect.TypeFor[any](),
		reflect.TypeFor[embedded](), reflect.TypeFor[named](), reflect.TypeFor[status](), reflect.TypeFor[written](), reflect.TypeFor[time.Time](),
	} {
		h := schemaOf(typ, nil)
		require.Equal(t, h, schemaOf(typ, nil))
		require.NotContains(t, seen, h, "%s and %s", typ, seen[h])
		seen[h] = typ
	}
}

func TestPending(t *testing.T) {
	t.Parallel()
	var p pending
	require.False(t, p.blocks("k", []string{"t"}))
	p.add([]string{"k"}, nil)
	p.add(nil, []string{"t"})
	require.True(t, p.blocks("k", nil))
	require.True(t, p.blocks("x", []string{"a", "t"}))
	require.False(t, p.blocks("t", []string{"k"}), "keys and tags are different things")
	keys, tags, turn := p.due(0)
	require.Equal(t, []string{"k"}, keys)
	require.Equal(t, []string{"t"}, tags)
	_, _, none := p.due(time.Second / 2)
	require.Zero(t, none, "not again within a second")

	p.add([]string{"k"}, nil) // the data changed once more meanwhile
	p.settle(turn)
	require.True(t, p.blocks("k", nil), "the newer change was not sent yet")
	require.False(t, p.blocks("x", []string{"t"}))

	for i := range maxPending + 1 {
		p.add([]string{fmt.Sprint(i)}, nil)
	}
	require.Less(t, len(p.names), 10, "memory is bounded")
	require.True(t, p.blocks("anything", scopes("", "", nil)), "by what covers everything")
	_, tags, turn = p.due(time.Minute)
	require.Equal(t, []string{scopeAll}, tags)
	p.settle(turn)
	require.False(t, p.blocks("anything", scopes("", "", nil)))
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		for range breakerFailures - 1 {
			require.False(t, b.failed(), "a few failures may be chance")
		}
		require.True(t, b.allow())
		require.True(t, b.failed(), "one more opens it, and says so once")
		require.False(t, b.failed())
		for range 3 {
			require.False(t, b.allow())
			<-time.After(breakerPause)
			require.True(t, b.allow(), "one may try")
			require.False(t, b.allow(), "the others wait for it")
		}
		require.True(t, b.succeeded(), "it was open")
		require.False(t, b.succeeded())
		for range 2 {
			require.True(t, b.allow())
		}
	})
}

// The chance of being early by more than r is exp(-r/cost).
func TestEarly(t *testing.T) {
	t.Parallel()
	const n = 200_000
	beyond := map[time.Duration]int{}
	for range n {
		d := early(time.Second, time.Hour)
		for _, r := range []time.Duration{time.Second, 5 * time.Second} {
			if d > r {
				beyond[r]++
			}
		}
		require.LessOrEqual(t, early(time.Hour, time.Minute), 30*time.Second)
		require.Zero(t, early(0, time.Hour))
	}
	require.InDelta(t, math.Exp(-1), float64(beyond[time.Second])/n, 0.01)
	require.InDelta(t, math.Exp(-5), float64(beyond[5*time.Second])/n, 0.002)
}

func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	var r recent
	for i := range 3 * maxRecent {
		r.add(time.Second, []string{fmt.Sprint(i)}, nil)
	}
	require.LessOrEqual(t, len(r.list), maxRecent)
	keys, tags := r.take(2 * time.Second)
	require.Empty(t, keys)
	require.Equal(t, []string{scopeAll}, tags, "what was left out is covered")
	keys, tags = r.take(2 * time.Second)
	require.Empty(t, append(keys, tags...))
	r.add(3*time.Second, make([]string, 2*maxRecent), nil)
	_, tags = r.take(4 * time.Second)
	require.Equal(t, []string{scopeAll}, tags, "one that is too large, too")
	r.add(5*time.Second, []string{"k"}, []string{"t"})
	r.add(time.Minute, []string{"k2"}, nil)
	keys, tags = r.take(time.Minute)
	require.Equal(t, []string{"k2"}, append(keys, tags...))
}
