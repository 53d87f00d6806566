package cache

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// bomb is a stream of n zeros that claims to be as long as claimed.
func bomb(t testing.TB, n, claimed int) []byte {
	var b bytes.Buffer
	b.Write(binary.AppendUvarint(nil, uint64(claimed)))
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	require.NoError(t, err)
	zeros := make([]byte, 1<<20)
	for n > 0 {
		k := min(n, len(zeros))
		_, err := w.Write(zeros[:k])
		require.NoError(t, err)
		n -= k
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestBombs(t *testing.T) {
	const mega = 1 << 20
	honest := bomb(t, 8*mega, 8*mega)
	out, err := inflate(honest)
	require.NoError(t, err, "8 MiB of zeros are a value like others")
	require.Len(t, out, 8*mega)
	for name, data := range map[string][]byte{
		"more than the bound":        bomb(t, mega, 65*mega),
		"longer than it claims":      bomb(t, 32*mega, mega),
		"one byte longer":            bomb(t, mega+1, mega),
		"shorter than it claims":     bomb(t, mega, mega+1),
		"a claim that cannot be":     append(binary.AppendUvarint(nil, maxInflated), 1, 2, 3),
		"a claim beyond all numbers": append(binary.AppendUvarint(nil, 1<<63), honest...),
		"nothing":                    nil,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := inflate(data)
		runtime.ReadMemStats(&after)
		require.Error(t, err, name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4*mega), name)
	}
}

func FuzzInflate(f *testing.F) {
	f.Add(deflate(nil))
	f.Add(deflate([]byte("hello, hello, hello")))
	f.Add(bomb(f, 1<<20, 1<<20))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := inflate(deflate(data))
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, out))
		if out, err = inflate(data); err == nil {
			require.LessOrEqual(t, len(out), maxInflated)
		}
	})
}
