package cache

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// The body of an entry, as the store keeps it:
//
//	version byte '2' | flags byte | schema 8 bytes | fresh | life | cost | validator | tags | payload | sum
//
// fresh, life and cost are unsigned varints of milliseconds: how long the value is fresh and
// how long the store keeps it, both from when it was stored, and how long its load took. No
// time in it is absolute: the store's countdown (Entry.Left) tells the age, so clocks of
// processes need not agree. The validator (if its flag is set) is its length, a varint, and its
// text; the tags of the load are their number and each like a validator. The sum is the CRC-32C
// of all before it, in 4 bytes: what was damaged is a missing entry.
const (
	bodyVersion   = '2'
	flagNotFound  = 1 << 0
	flagOwnTTL    = 1 << 1 // fresh is what the load said, whatever the policy says
	flagValidator = 1 << 2
	flagPacked    = 1 << 3 // the payload is compressed
	flagTags      = 1 << 4
	bodyFixed     = 10
	bodySum       = 4
	maxMillis     = uint64(1<<63-1) / uint64(time.Millisecond)
	bodyFlagsMask = flagNotFound | flagOwnTTL | flagValidator | flagPacked | flagTags
)

type body struct {
	notFound, ownTTL  bool
	schema            uint64
	validator         string
	tags              []string // of the load, as it named them
	packed            bool
	fresh, life, cost time.Duration
	payload           []byte
}

func (b *body) append(dst []byte) []byte {
	start, flags := len(dst), byte(0)
	if b.notFound {
		flags |= flagNotFound
	}
	if b.ownTTL {
		flags |= flagOwnTTL
	}
	if b.validator != "" {
		flags |= flagValidator
	}
	if b.packed {
		flags |= flagPacked
	}
	if len(b.tags) > 0 {
		flags |= flagTags
	}
	dst = append(dst, bodyVersion, flags)
	dst = binary.BigEndian.AppendUint64(dst, b.schema)
	for _, d := range []time.Duration{b.fresh, b.life, b.cost} {
		dst = binary.AppendUvarint(dst, uint64(max(d, 0).Milliseconds()))
	}
	if b.validator != "" {
		dst = appendText(dst, b.validator)
	}
	if len(b.tags) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(b.tags)))
		for _, t := range b.tags {
			dst = appendText(dst, t)
		}
	}
	dst = append(dst, b.payload...)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) // the one that processors compute themselves

var errBody = errors.New("cache: entry has another format")

// parseBody reads what append wrote. The payload shares data's memory.
func parseBody(data []byte) (body, error) {
	if len(data) < bodyFixed+bodySum || data[0] != bodyVersion || data[1]&^byte(bodyFlagsMask) != 0 {
		return body{}, errBody
	}
	data, sum := data[:len(data)-bodySum], data[len(data)-bodySum:]
	if binary.BigEndian.Uint32(sum) != crc32.Checksum(data, castagnoli) {
		return body{}, errBody
	}
	b := body{
		notFound: data[1]&flagNotFound != 0,
		ownTTL:   data[1]&flagOwnTTL != 0,
		packed:   data[1]&flagPacked != 0,
		schema:   binary.BigEndian.Uint64(data[2:]),
	}
	rest := data[bodyFixed:]
	for _, d := range []*time.Duration{&b.fresh, &b.life, &b.cost} {
		ms, n := binary.Uvarint(rest)
		if n <= 0 || ms > maxMillis {
			return body{}, errBody
		}
		*d = time.Duration(ms) * time.Millisecond
		rest = rest[n:]
	}
	if data[1]&flagValidator != 0 {
		text, more, ok := cutText(rest)
		if !ok {
			return body{}, errBody
		}
		b.validator, rest = string(text), more
	}
	if data[1]&flagTags != 0 {
		var ok bool
		if b.tags, rest, ok = cutTags(rest); !ok {
			return body{}, errBody
		}
	}
	b.payload = rest
	return b, nil
}

// cutText reads what appendText wrote.
func cutText(data []byte) (text, rest []byte, ok bool) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, nil, false
	}
	return data[n : n+int(size)], data[n+int(size):], true
}

func cutTags(data []byte) (tags []string, rest []byte, ok bool) {
	count, n := binary.Uvarint(data)
	if n <= 0 || count == 0 || count > maxOwnTags {
		return nil, nil, false
	}
	tags, rest = make([]string, count), data[n:]
	for i := range tags {
		var text []byte
		if text, rest, ok = cutText(rest); !ok || len(text) > maxOwnTag {
			return nil, nil, false
		}
		tags[i] = string(text)
	}
	return tags, rest, true
}

// encode writes a value: []byte and string as they are, everything else as JSON.
func encode[V any](v V) ([]byte, error) {
	switch v := any(v).(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return data, nil
}

func decode[V any](data []byte) (V, error) {
	if v, ok := decodeText[V](data); ok {
		return v, nil
	}
	return decodeJSON[V](data)
}

// decodeText is a function of its own because its v need not be allocated.
func decodeText[V any](data []byte) (v V, ok bool) {
	switch p := any(&v).(type) {
	case *[]byte:
		*p = data
		return v, true
	case *string:
		*p = string(data)
		return v, true
	}
	return v, false
}

func decodeJSON[V any](data []byte) (v V, err error) {
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("decode %T: %w", v, err)
	}
	return v, nil
}
