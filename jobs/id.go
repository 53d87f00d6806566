package jobs

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// crockford is the alphabet of ULIDs (github.com/ulid/spec).
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// newID returns 26 characters: milliseconds since 1970 in the first 48 bits,
// then 80 random bits. Ids sort by time, to the millisecond.
func newID() string {
	var raw [18]byte // two leading zero bytes: 130 bits make 26 characters
	binary.BigEndian.PutUint64(raw[:8], uint64(time.Now().UnixMilli()))
	_, _ = rand.Read(raw[8:]) // never fails (crypto/rand, Go 1.24)
	return crockford.EncodeToString(raw[2:])
}
