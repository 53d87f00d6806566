package outbox

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"
)

// mark is the UUID under which Once stores an id: a UUID is its own, a ULID has 128 bits, too, which keep the order of
// its time and so the index small, and of any other text it is a hash (version 8).
func mark(id string) string {
	raw, ok := parseUUID(id)
	if !ok {
		raw, ok = parseULID(id)
	}
	if !ok {
		sum := sha256.Sum256([]byte(id))
		raw = [16]byte(sum[:])
		raw[6] = raw[6]&0x0f | 0x80
		raw[8] = raw[8]&0x3f | 0x80
	}
	h := hex.EncodeToString(raw[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// parseUUID reads a UUID as PostgreSQL does: in either case, with or without braces, and with a hyphen, or none, after
// each group of four digits.
func parseUUID(s string) (raw [16]byte, ok bool) {
	if inner, braces := strings.CutPrefix(s, "{"); braces {
		if s, braces = strings.CutSuffix(inner, "}"); !braces {
			return raw, false
		}
	}
	for i := range raw {
		if i > 0 && i%2 == 0 {
			s = strings.TrimPrefix(s, "-")
		}
		if len(s) < 2 {
			return raw, false
		}
		if _, err := hex.Decode(raw[i:i+1], []byte(s[:2])); err != nil {
			return raw, false
		}
		s = s[2:]
	}
	return raw, s == ""
}

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// parseULID reads the 26 characters of a ULID in capitals: 130 bits, of which the first two are zero.
func parseULID(s string) (raw [16]byte, ok bool) {
	if len(s) != 26 || s[0] > '7' {
		return raw, false
	}
	wide, err := crockford.DecodeString("000000" + s) // 160 bits, a whole number of bytes
	if err != nil || len(wide) != 20 {
		return raw, false
	}
	return [16]byte(wide[4:]), true
}
