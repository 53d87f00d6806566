package httpx

import (
	"net/http"
	"strconv"
	"strings"
)

// accepts reports whether a client with these Accept lines takes media type typ/sub (RFC 9110 section 12.5.1): the most specific range
// that matches decides by its weight. No Accept, or one that cannot be read, accepts everything.
func accepts(lines []string, typ, sub string) bool {
	best, quality, seen := -1, 0.0, false
	for _, line := range lines {
		for entry := range strings.SplitSeq(line, ",") {
			mediaRange, params, _ := strings.Cut(entry, ";")
			t, s, ok := strings.Cut(strings.ToLower(strings.TrimSpace(mediaRange)), "/")
			if !ok || t == "" || s == "" {
				continue
			}
			seen = true
			specific := -1
			switch {
			case t == typ && s == sub:
				specific = 2
			case t == typ && s == "*":
				specific = 1
			case t == "*" && s == "*":
				specific = 0
			}
			if q := weight(params); specific > best || specific >= 0 && specific == best && q > quality {
				best, quality = specific, q
			}
		}
	}
	return !seen || quality > 0
}

// weight returns the q parameter, 1 without one, 0 for one that is not a weight.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		k, v, ok := strings.Cut(strings.TrimSpace(p), "=")
		if !ok || !strings.EqualFold(k, "q") {
			continue
		}
		q, err := strconv.ParseFloat(v, 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}

// negotiate returns a 406 problem unless the client takes JSON.
func negotiate(r *http.Request) error {
	if accepts(r.Header["Accept"], "application", "json") {
		return nil
	}
	return NewProblem(http.StatusNotAcceptable, "not_acceptable", "This resource is available as application/json.")
}
