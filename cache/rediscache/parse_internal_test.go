package rediscache

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
)

const token = "0123456789ABCDEF"

func TestHeader(t *testing.T) {
	t.Parallel()
	require.Len(t, leaseHeader(token), headerLen)
	for _, seq := range []int64{0, 7, 1_800_000_000_000_000, 9_999_999_999_999_999} {
		raw := valueHeader(token, seq, seq+1) + "body"
		require.Len(t, raw, headerLen+4)
		e, tok, got := parseEntry(raw)
		require.Equal(t, cache.Filled, e.State)
		require.Equal(t, "body", string(e.Body))
		require.Equal(t, token, tok)
		require.Equal(t, seq, got)
		require.Equal(t, seq+1, e.Version)
	}
	require.Len(t, valueHeader(noToken, math.MaxInt64/1000, math.MaxInt64), headerLen)
	e, tok, _ := parseEntry(leaseHeader(token))
	require.Equal(t, cache.Leased, e.State)
	require.Equal(t, token, tok)
	e, _, _ = parseEntry("C1H0" + strings.Repeat("x", 80))
	require.Equal(t, cache.Held, e.State)
}

func FuzzParseEntry(f *testing.F) {
	f.Add(leaseHeader(token))
	f.Add(valueHeader(token, 12, 3) + "body")
	f.Add("C1H0" + noEnd + noSeq + noSeq + noVersion)
	f.Add("")
	f.Add("C1")
	f.Fuzz(func(t *testing.T, raw string) {
		e, tok, seq := parseEntry(raw)
		require.True(t, strings.HasPrefix(raw, e.ID))
		switch e.State {
		case cache.Leased, cache.Held:
			require.Equal(t, magic, raw[:2])
		case cache.Filled:
			if tok == "" {
				require.Negative(t, seq, "foreign data must be older than every stamp")
				break
			}
			require.GreaterOrEqual(t, seq, int64(0))
			require.Equal(t, raw[headerLen:], string(e.Body))
		default:
			t.Fatalf("state %d", e.State)
		}
	})
}

func FuzzParseStamp(f *testing.F) {
	for _, s := range []string{"", "7", "0001800000000000", "0001800000000000" + token + noEnd, "-000000000000001", "rubbish"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		st, ok := parseStamp(s)
		require.GreaterOrEqual(t, st.seq, int64(0))
		require.Equal(t, ok && len(s) > 16, st.held)
	})
}

func FuzzParseMessage(f *testing.F) {
	for _, s := range []string{"", invalidated("k"), stamped(""), filled("a/b"), beat(5, 0, 1), beat(-1, 2, 3), "B1/1/1", "B1/0/99999", "X"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := parseMessage(s)
		if !ok {
			require.Zero(t, m)
			return
		}
		switch m.event.Kind {
		case cache.EventInvalidated:
			require.Equal(t, s, invalidated(m.event.Name))
		case cache.EventStamped:
			require.Equal(t, s, stamped(m.event.Name))
		case cache.EventFilled:
			require.Equal(t, s, filled(m.event.Name))
		case cache.EventBeat:
			require.True(t, m.part >= 0 && m.part < m.parts && m.parts <= maxMasters)
			again, ok := parseMessage(beat(m.event.N, m.part, m.parts))
			require.True(t, ok)
			require.Equal(t, m, again)
		default:
			t.Fatalf("kind %d of %q", m.event.Kind, s)
		}
	})
}

func TestBeatParts(t *testing.T) {
	t.Parallel()
	var b beatParts
	part := func(n int64, i, m int) bool {
		return b.complete(message{cache.Event{Kind: cache.EventBeat, N: n}, i, m})
	}
	require.True(t, part(1, 0, 1))
	require.False(t, part(2, 0, 3))
	require.False(t, part(2, 0, 3), "a repeated part is not another one")
	require.False(t, part(2, 2, 3))
	require.True(t, part(2, 1, 3))
	require.False(t, part(2, 1, 3), "a beat comes back once")
	require.False(t, part(5, 0, 2))
	require.False(t, part(4, 1, 2), "parts of different beats do not add up")
	require.True(t, part(4, 0, 2), "on different ways beats overlap")
	require.True(t, part(5, 1, 2))
	require.False(t, part(6, 0, 2))
	require.True(t, part(7, 0, 1))
	require.False(t, part(6, 1, 2), "older than one that is complete")
	for n := int64(10); n < 100; n++ {
		require.False(t, part(n, 0, 2))
	}
	require.Len(t, b.pending, maxBeats)
	require.False(t, part(9, 1, 2), "older than all that there is room for")
	require.True(t, part(99, 1, 2))
	require.Empty(t, b.pending)
}
