package jobs

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// crockfordDigits is the alphabet of ULIDs (github.com/ulid/spec).
const crockfordDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var crockford = base32.NewEncoding(crockfordDigits).WithPadding(base32.NoPadding)

// newID returns 26 characters: milliseconds since 1970 in the first 48 bits,
// then 80 random bits. Ids sort by time, to the millisecond.
func newID() string {
	var raw [18]byte // two leading zero bytes: 130 bits make 26 characters
	binary.BigEndian.PutUint64(raw[:8], uint64(time.Now().UnixMilli()))
	_, _ = rand.Read(raw[8:]) // never fails (crypto/rand, Go 1.24)
	return crockford.EncodeToString(raw[2:])
}

// idTime returns the instant that newID wrote into an id; false for ids of
// other forms.
func idTime(id string) (time.Time, bool) {
	if len(id) != 26 {
		return time.Time{}, false
	}
	var bits int64 // ten characters are 50 bits, two more than the time has
	for _, c := range []byte(id[:10]) {
		digit := strings.IndexByte(crockfordDigits, c)
		if digit < 0 {
			return time.Time{}, false
		}
		bits = bits<<5 | int64(digit)
	}
	return time.UnixMilli(bits >> 2).UTC(), true
}
