package httpx

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// etagLen is the length of what etagOf returns.
const etagLen = 24

// etagOf returns the strong entity tag (RFC 9110 section 8.8.3) of these bytes: 132 bits of their SHA-256.
func etagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:])[:etagLen-2] + `"`
}

// comparison says which entity tags are equal (RFC 9110 section 8.8.3.2).
type comparison bool

const (
	strongly comparison = false // If-Match, section 13.1.1: a weak tag equals nothing
	weakly   comparison = true  // If-None-Match, section 13.1.2: the weakness mark does not count
)

// matchesETag reports whether one of the If-Match or If-None-Match lines names etag, which is strong. A list that cannot be read
// matches up to where it breaks.
func matchesETag(lines []string, etag string, equal comparison) bool {
	for _, line := range lines {
		rest := strings.Trim(line, " \t")
		if rest == "*" {
			return true
		}
		for rest != "" {
			if rest[0] == ',' || rest[0] == ' ' || rest[0] == '\t' {
				rest = rest[1:]
				continue
			}
			tag, after, ok := cutETag(rest)
			if !ok {
				break
			}
			if tag == etag && (equal == weakly || rest[0] == '"') {
				return true
			}
			rest = after
		}
	}
	return false
}

// cutETag reads one entity tag and returns it without its weakness mark.
func cutETag(s string) (tag, rest string, ok bool) {
	s = strings.TrimPrefix(s, "W/")
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[:i+1], s[i+1:], true
		case c < 0x21 || c == 0x7f: // etagc: 0x21, 0x23 to 0x7e, 0x80 and above
			return "", "", false
		}
	}
	return "", "", false
}
