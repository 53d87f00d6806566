package registry

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// ErrHost reports a text that is no host name on the internet: it is malformed, an IP address, or has a single label.
var ErrHost error = &refusal{"registry: not a host name", http.StatusBadRequest, nil}

const (
	maxHost  = 253
	maxLabel = 63
)

// ParseHost returns the one spelling of a host name that the registry stores and compares: lower case, without port and
// trailing dot, international names as punycode (IDNA 2008 with the mapping of UTS 46, so "Bücher.example" and
// "xn--bcher-kva.example" are the same host). It takes what people type and what a Host header holds, not URLs.
// It refuses with ErrHost: IP addresses in any notation, names of a single label, underscores and other characters that
// host names do not have, labels that IDNA does not allow.
func ParseHost(s string) (string, error) {
	host, clean := requestHost(s)
	if host == "" {
		return "", fmt.Errorf("%w: %.80q", ErrHost, s)
	}
	if clean && !strings.Contains(host, "xn--") {
		return host, nil
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", fmt.Errorf("%w: %.80q", ErrHost, s)
	}
	// Mapping may have produced what was not there before, as digits and dots of other scripts do, or a label that does not
	// pass itself.
	again, err := idna.Lookup.ToASCII(ascii)
	if host, clean = requestHost(ascii); err != nil || again != ascii || !clean || host != ascii {
		return "", fmt.Errorf("%w: %.80q", ErrHost, s)
	}
	return host, nil
}

// requestHost brings a Host header into the stored form: without port and trailing dot, in lower case, which costs nothing
// if it has that form already. It returns "" for what cannot be a host name. clean is false for names that are not ASCII,
// which no browser sends.
func requestHost(s string) (host string, clean bool) {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if !digits(s[i+1:]) {
			return "", false // a colon elsewhere is IPv6
		}
		s = s[:i]
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) > 4*maxHost || !utf8.ValidString(s) {
		return "", false
	}
	clean, upper := true, false
	label, start := 0, 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if clean && !validLabel(s[start:i]) {
				return "", false
			}
			label, start = label+1, i+1
			continue
		}
		switch c := s[i]; {
		case c >= 0x80:
			clean = false
		case 'A' <= c && c <= 'Z':
			upper = true
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		default:
			return "", false
		}
	}
	if upper {
		s = strings.ToLower(s)
	}
	if clean && (label < 2 || len(s) > maxHost || numeric(s[strings.LastIndexByte(s, '.')+1:])) {
		return "", false
	}
	return s, clean
}

func validLabel(s string) bool {
	return s != "" && len(s) <= maxLabel && s[0] != '-' && s[len(s)-1] != '-'
}

// numeric tells whether a last label makes the name an IP address for some resolvers: 4, 0x7f.
func numeric(s string) bool {
	if len(s) >= 2 && s[0] == '0' && s[1] == 'x' {
		return strings.Trim(s[2:], "0123456789abcdef") == ""
	}
	return digits(s)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// under tells whether host is below apex; sub is what stands before it.
func under(host, apex string) (sub string, ok bool) {
	sub, ok = strings.CutSuffix(host, apex)
	if !ok || len(sub) < 2 || sub[len(sub)-1] != '.' {
		return "", false
	}
	return sub[:len(sub)-1], true
}
