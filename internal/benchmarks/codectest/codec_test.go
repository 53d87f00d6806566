package codectest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

// user is what programs cache most: a row.
type user struct {
	ID      int64             `json:"id"`
	Name    string            `json:"name"`
	Email   string            `json:"email"`
	Created time.Time         `json:"created"`
	Roles   []string          `json:"roles"`
	Balance float64           `json:"balance"`
	Active  bool              `json:"active"`
	Labels  map[string]string `json:"labels"`
}

func row(i int) user {
	return user{
		ID: int64(i), Name: fmt.Sprintf("Ann %d", i), Email: fmt.Sprintf("ann%d@acme.dev", i),
		Created: time.Unix(1700000000+int64(i)*61, 0).UTC(), Roles: []string{"admin", "billing"}, Balance: 12.5 * float64(i),
		Active: i%2 == 0, Labels: map[string]string{"zone": "eu", "plan": "pro"},
	}
}

func page(n int) []user {
	rows := make([]user, n)
	for i := range rows {
		rows[i] = row(i)
	}
	return rows
}

type codec struct {
	name      string
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

var codecs = []codec{
	{"json", json.Marshal, json.Unmarshal},
	{"msgpack", msgpack.Marshal, msgpack.Unmarshal},
}

func BenchmarkCodec(b *testing.B) {
	for _, n := range []int{1, 20, 200} {
		rows := page(n)
		for _, c := range codecs {
			data, err := c.marshal(rows)
			require.NoError(b, err)
			b.Run(fmt.Sprintf("rows=%d/%s/encode", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.marshal(rows); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(data)), "bytes")
			})
			b.Run(fmt.Sprintf("rows=%d/%s/decode", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					var got []user
					if err := c.unmarshal(data, &got); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(data)), "bytes")
			})
		}
	}
}

type compressor struct {
	name    string
	deflate func(src []byte) []byte
	inflate func(src []byte) ([]byte, error)
}

// stream makes a compressor of a pair of streams that are used again, as a library would.
func stream(name string, w interface {
	io.WriteCloser
	Reset(io.Writer)
}, r io.Reader, reset func(io.Reader) error) compressor {
	return compressor{name, func(src []byte) []byte {
		var b bytes.Buffer
		w.Reset(&b)
		w.Write(src)
		w.Close()
		return b.Bytes()
	}, func(src []byte) ([]byte, error) {
		if err := reset(bytes.NewReader(src)); err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}}
}

func compressors(b *testing.B) []compressor {
	fw, err := flate.NewWriter(nil, flate.BestSpeed)
	require.NoError(b, err)
	fr := flate.NewReader(bytes.NewReader(nil))
	gw, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	require.NoError(b, err)
	gr := new(gzip.Reader)
	zw, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	require.NoError(b, err)
	zr, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	require.NoError(b, err)
	return []compressor{
		stream("flate1", fw, fr, func(r io.Reader) error { return fr.(flate.Resetter).Reset(r, nil) }),
		stream("gzip1", gw, gr, gr.Reset),
		{"s2", func(src []byte) []byte { return s2.Encode(nil, src) }, func(src []byte) ([]byte, error) { return s2.Decode(nil, src) }},
		{"zstd1", func(src []byte) []byte { return zw.EncodeAll(src, nil) }, func(src []byte) ([]byte, error) { return zr.DecodeAll(src, nil) }},
	}
}

func BenchmarkCompression(b *testing.B) {
	for _, n := range []int{5, 20, 200} {
		plain, err := json.Marshal(page(n))
		require.NoError(b, err)
		for _, c := range compressors(b) {
			packed := c.deflate(plain)
			again, err := c.inflate(packed)
			require.NoError(b, err)
			require.Equal(b, plain, again)
			name := fmt.Sprintf("kB=%d/%s", len(plain)/1000, c.name)
			b.Run(name+"/pack", func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(plain)))
				for b.Loop() {
					c.deflate(plain)
				}
				b.ReportMetric(100*float64(len(packed))/float64(len(plain)), "%size")
			})
			b.Run(name+"/unpack", func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(plain)))
				for b.Loop() {
					if _, err := c.inflate(packed); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
