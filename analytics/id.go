package analytics

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// newID returns a UUID version 7 (RFC 9562 §5.7): milliseconds, then random bits; ids of one process sort by time.
func newID(now time.Time) string {
	var u [16]byte
	rand.Read(u[:]) // never fails: the runtime aborts instead
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(u[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(u[2:], uint32(ms))
	// rand_a holds the fraction of the millisecond in 1/4096 steps (§6.2, method 3).
	frac := uint16(now.Nanosecond() % 1e6 * 4096 / 1e6)
	binary.BigEndian.PutUint16(u[6:], 0x7000|frac)
	u[8] = u[8]&0x3f | 0x80

	var text [36]byte
	hex.Encode(text[0:], u[0:4])
	hex.Encode(text[9:], u[4:6])
	hex.Encode(text[14:], u[6:8])
	hex.Encode(text[19:], u[8:10])
	hex.Encode(text[24:], u[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
