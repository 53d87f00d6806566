package cache

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Codec writes the values of a cache for the store and reads them again. Implementations are
// safe for concurrent use. A value that Unmarshal refuses is reported and loaded again.
type Codec interface {
	// Name tells formats apart: what was written under another name is a missing value, for
	// a deploy that changes the codec.
	Name() string

	// Marshal returns v, a value of the cache's type, in bytes that the cache may keep.
	Marshal(v any) ([]byte, error)

	// Unmarshal reads data into v, a pointer to the cache's type. It must not keep data.
	Unmarshal(data []byte, v any) error
}

// maxInflated bounds what one compressed value may take in memory; larger ones are not compressed.
const maxInflated = 64 << 20

// format is how a cache writes its values.
type format struct {
	codec Codec // nil is JSON, with bytes and strings as they are
	over  int   // compress what is longer; 0 is nothing
}

var errInflate = errors.New("cache: entry is not what was compressed")

// encodeWith writes a value, and says whether it is compressed.
func encodeWith[V any](f *format, v V) (data []byte, packed bool, err error) {
	if f.codec == nil {
		data, err = encode(v)
	} else if data, err = f.codec.Marshal(v); err != nil {
		err = fmt.Errorf("encode %T with %s: %w", v, f.codec.Name(), err)
	}
	if err != nil || f.over == 0 || len(data) <= f.over || len(data) > maxInflated {
		return data, false, err
	}
	if small := deflate(data); len(small) < len(data) {
		return small, true, nil
	}
	return data, false, nil
}

// decodeWith reads what encodeWith wrote, and says how long it is without compression.
func decodeWith[V any](f *format, data []byte, packed bool) (v V, size int, err error) {
	if packed {
		if data, err = inflate(data); err != nil {
			return v, 0, fmt.Errorf("decode %T: %w", v, err)
		}
	}
	if f.codec == nil {
		v, err = decode[V](data)
	} else {
		v, err = decodeCodec[V](f.codec, data)
	}
	return v, len(data), err
}

// decodeCodec is a function of its own because only its v must be allocated.
func decodeCodec[V any](c Codec, data []byte) (v V, err error) {
	if err = c.Unmarshal(data, &v); err != nil {
		err = fmt.Errorf("decode %T with %s: %w", v, c.Name(), err)
	}
	return v, err
}

// Each writer and reader holds its tables, up to a megabyte, so they are used again.
var (
	deflaters = sync.Pool{New: func() any {
		w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		return w
	}}
	inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}
)

// deflate compresses data: its length, an unsigned varint, and a DEFLATE stream (RFC 1951).
func deflate(data []byte) []byte {
	out := bytes.NewBuffer(make([]byte, 0, len(data)/3+binary.MaxVarintLen64))
	out.Write(binary.AppendUvarint(nil, uint64(len(data))))
	w, _ := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(out)
	_, _ = w.Write(data) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// maxRatio is more than DEFLATE can compress anything.
const maxRatio = 1040

// inflate reads what deflate wrote. It takes no more memory than the stream can be worth, and
// no more than maxInflated, whatever the data claims.
func inflate(data []byte) ([]byte, error) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > maxInflated || size > maxRatio*uint64(len(data)) {
		return nil, errInflate
	}
	r, _ := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(data[n:]), nil); err != nil {
		return nil, errInflate
	}
	out := make([]byte, size)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, errInflate
	}
	if extra, err := r.Read(make([]byte, 1)); extra > 0 || err != io.EOF {
		return nil, errInflate
	}
	return out, nil
}
