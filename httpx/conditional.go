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

// matchesETag reports whether one of the If-None-Match lines names etag, by weak comparison as section 13.1.2 demands. A list that
// cannot be read matches up to where it breaks.
func matchesETag(lines []string, etag string) bool {
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
			if tag == etag {
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
