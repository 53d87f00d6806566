package record

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	mathrand "math/rand/v2"
	"time"
)

// ids makes UUIDs of version 7 (RFC 9562): milliseconds first, so that ids of one time lie together in an index. Those of
// one maker are ascending.
type ids struct {
	head   uint64 // 48 bits of milliseconds and 12 that count, around the version
	random *mathrand.ChaCha8
}

// idsAt starts at a time, with a random count that leaves room for many.
func idsAt(now time.Time) *ids {
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	random := mathrand.NewChaCha8(seed)
	return &ids{head: uint64(now.UnixMilli())<<12 | random.Uint64()&0x3ff, random: random}
}

func (m *ids) next() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[8:], m.random.Uint64())
	binary.BigEndian.PutUint64(b[:8], m.head>>12<<16|m.head&0xfff)
	m.head++ // past 12 bits it borrows the next millisecond
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	for i, from := range [...][3]int{{0, 0, 4}, {9, 4, 6}, {14, 6, 8}, {19, 8, 10}, {24, 10, 16}} {
		hex.Encode(s[from[0]:], b[from[1]:from[2]])
		if i > 0 {
			s[from[0]-1] = '-'
		}
	}
	return string(s[:])
}
