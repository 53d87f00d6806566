package ratelimit

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzRule compares the arithmetic of a limit with fractions of any size.
func FuzzRule(f *testing.F) {
	f.Add(int64(100), int64(60_000_000), int64(0), int64(7), int64(1), int64(3), int64(1))
	f.Add(int64(maxUnits), int64(1), int64(maxUnits), int64(maxUnits), int64(0), int64(0), int64(1))
	f.Add(int64(3), int64(maxWindow/1000), int64(3), int64(3), int64(1)<<40, int64(2), int64(10_000))
	f.Add(int64(999_999_999_989), int64(999_999_999_961), int64(998), int64(5), int64(7), int64(999_999_999_988), int64(2))
	f.Fuzz(func(t *testing.T, rate, per, burst, n, micros, parts, processes int64) {
		if per < 0 || per > int64(maxWindow/1000) {
			return
		}
		r, err := Limit{Rate: rate, Per: time.Duration(per) * time.Microsecond, Burst: burst}.rule("x")
		if err != nil {
			require.ErrorIs(t, err, ErrLimit)
			return
		}
		n = min(max(n, 0), r.burst)
		require.Equal(t, r.room, r.most)
		check(t, r, n, micros, parts)
		check(t, r.local(min(max(processes, 1), 10_000), n), n, micros, parts)
	})
}

func check(t *testing.T, r rule, n, micros, parts int64) {
	frac := func(a, b int64) *big.Rat { return big.NewRat(a, b) }
	value := func(s Span) *big.Rat { return new(big.Rat).Add(frac(s.Micros, 1), frac(s.Parts, r.rate)) }
	units := func(n int64) *big.Rat { return new(big.Rat).Mul(frac(n, 1), frac(r.per, r.rate)) }

	add := r.span(n)
	require.Zero(t, value(add).Cmp(units(n)), "span")
	require.True(t, add.Parts >= 0 && add.Parts < r.rate)
	require.Zero(t, value(r.room).Cmp(units(r.burst)), "room")

	b := r.within(Span{micros, parts})
	require.False(t, b.Micros < 0 || b.Parts < 0 || b.Parts >= r.rate || r.most.less(b), "within")
	require.Equal(t, b, r.within(b))
	sum := b.plus(add, r.rate)
	require.Zero(t, value(sum).Cmp(new(big.Rat).Add(value(b), value(add))), "sum")
	require.True(t, sum.Parts >= 0 && sum.Parts < r.rate)
	require.Equal(t, value(sum).Cmp(value(r.room)) > 0, r.room.less(sum), "comparison")

	left := new(big.Rat).Sub(value(r.room), value(b))
	left.Quo(left, units(1))
	require.Equal(t, max(new(big.Int).Quo(left.Num(), left.Denom()).Int64(), 0), r.remaining(b), "remaining")
	require.Equal(t, roundUp(value(b)), r.reset(b), "reset")
	require.Equal(t, roundUp(new(big.Rat).Sub(value(sum), value(r.room))), r.wait(b, n), "wait")
}

// roundUp is a time in microseconds, at most the longest that there is, at least none.
func roundUp(micros *big.Rat) time.Duration {
	if micros.Sign() <= 0 {
		return 0
	}
	q, rest := new(big.Int).QuoRem(micros.Num(), micros.Denom(), new(big.Int))
	if rest.Sign() != 0 {
		q.Add(q, big.NewInt(1))
	}
	return duration(q.Int64())
}
