package httpx

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAccepts(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"application/json":                      true,
		"Application/JSON;charset=utf-8":        true,
		"*/*":                                   true,
		"application/*;q=0.1":                   true,
		"text/html":                             false,
		"text/html, */*;q=0.8":                  true,
		"application/json;q=0":                  false,
		"application/json;q=0, */*":             false, // the more specific range decides
		"*/*;q=0, application/json":             true,
		"application/*;q=0, */*;q=1":            false,
		"application/json;q=1.5":                false,
		"application/json; version=1; q=0.000":  false,
		"application/jsonp":                     false,
		"xapplication/json":                     false,
		"":                                      true,
		"garbage":                               true,
		",,;q=":                                 true,
		"application/json;q=NaN":                false,
		"application/xml,application/json;q=.5": true,
	} {
		require.Equal(t, want, accepts([]string{accept}, "application", "json"), accept)
	}
	require.True(t, accepts(nil, "application", "json"))
	require.True(t, accepts([]string{"text/html", "application/json"}, "application", "json"), "several lines are one list")
}

func FuzzAccepts(f *testing.F) {
	for _, s := range []string{"application/json", "*/*;q=0", "a/b;q=0.5, text/*;q=.1", "application/json;q=0, */*", ";;;,,/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		alone := accepts([]string{s}, "application", "json")
		if strings.Contains(s, ",") {
			return
		}
		// A range that is named without a weight and more specific than all wildcards is always taken; one that matches nothing changes nothing.
		if !accepts([]string{s + ",application/json"}, "application", "json") {
			if quality := weight(afterSemicolon(s)); quality > 0 && !strings.Contains(s, "\"") {
				t.Errorf("%q refuses a type that it names", s)
			}
		}
		if ok := accepts([]string{s + ",x-none/x-none"}, "application", "json"); ok && !alone && s != "" {
			t.Errorf("%q: a range that does not match made it acceptable", s)
		}
	})
}

func afterSemicolon(s string) string { _, after, _ := strings.Cut(s, ";"); return after }

func TestMatchesETag(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		`"a"`: true, `W/"a"`: true, `"b", "a"`: true, `"b","a"`: true, `"b" , W/"a" ,`: true, `*`: true, ` * `: true,
		`"b"`: false, `a`: false, ``: false, `"a`: false, `"b" "a"`: true, `w/"a"`: false, `"b, "a"`: false, `"a" garbage`: true, `garbage "a"`: false,
		`"A"`: false, `"", "a"`: true, `"x*"`: false,
	} {
		require.Equal(t, want, matchesETag([]string{header}, `"a"`, weakly), header)
	}
	require.True(t, matchesETag([]string{`"b"`, `"a"`}, `"a"`, weakly))
	require.False(t, matchesETag(nil, `"a"`, weakly))
	for header, want := range map[string]bool{`"a"`: true, `*`: true, `"b", "a"`: true, `W/"a"`: false, `W/"a", "a"`: true, `W/"b", W/"a"`: false, ``: false} {
		require.Equal(t, want, matchesETag([]string{header}, `"a"`, strongly), header)
	}
}

func FuzzMatchesETag(f *testing.F) {
	for _, s := range []string{`"a"`, `W/"a", "b"`, `*`, `"`, `,,,`, `"a" x "b"`, "W/", "\"\x00\""} {
		f.Add(s)
	}
	const etag = `"0123456789abcdefABCDEF"`
	f.Fuzz(func(t *testing.T, s string) {
		if matchesETag([]string{s}, etag, weakly) && strings.TrimSpace(s) != "*" && !strings.Contains(s, etag) {
			t.Errorf("%q does not contain the tag but matches", s)
		}
		if !matchesETag([]string{etag + "," + s}, etag, weakly) {
			t.Errorf("a tag before %q is not found", s)
		}
		if !matchesETag([]string{s, "W/" + etag}, etag, weakly) {
			t.Errorf("a tag on its own line after %q is not found", s)
		}
	})
}

func TestETagIsOfTheBytes(t *testing.T) {
	t.Parallel()
	require.Len(t, etagOf(nil), etagLen)
	require.Equal(t, etagOf([]byte("a")), etagOf([]byte("a")))
	require.NotEqual(t, etagOf([]byte("a")), etagOf([]byte("b")))
	tag, rest, ok := cutETag(etagOf([]byte("a")))
	require.True(t, ok)
	require.Equal(t, etagOf([]byte("a")), tag)
	require.Empty(t, rest)
}

func FuzzRequestID(f *testing.F) {
	for _, s := range []string{"12345678", "1234567", strings.Repeat("a", 64), strings.Repeat("a", 65), "abc\ndefgh", "äöüäöü", "a b c d e f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := len(s) >= 8 && len(s) <= 64 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == ""
		if want && strings.ContainsFunc(s, func(r rune) bool { return r > 127 || r < '-' }) {
			want = false // Trim looks at the ends only
		}
		got := validRequestID(s)
		if got && !want || got && s != url.PathEscape(s) {
			t.Errorf("%q is taken", s)
		}
		if !got && want && url.QueryEscape(s) == s && !strings.ContainsAny(s, ".~") {
			t.Errorf("%q is refused", s)
		}
	})
}

func TestNewRequestID(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(0x0123456789ab)
	id := newRequestID(at)
	require.True(t, strings.HasPrefix(id, "01234567-89ab-7"), id)
	require.True(t, validRequestID(id))
	require.NotEqual(t, id, newRequestID(at))
	require.Less(t, newRequestID(at), newRequestID(at.Add(time.Millisecond)), "ids are not in the order of time")
}

func TestForwardedFor(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tc := range []struct {
		why   string
		lines []string
		want  string
	}{
		{"no header", nil, "10.0.0.1"},
		{"one hop", []string{"203.0.113.9"}, "203.0.113.9"},
		{"what the client wrote is left of what the proxy saw", []string{"6.6.6.6, 203.0.113.9"}, "203.0.113.9"},
		{"trusted hops are skipped", []string{"6.6.6.6, 203.0.113.9, 10.1.1.1, fd00::1"}, "203.0.113.9"},
		{"lines are one list in order", []string{"6.6.6.6", "203.0.113.9", "10.1.1.1"}, "203.0.113.9"},
		{"only proxies", []string{"10.9.9.9, 10.1.1.1"}, "10.9.9.9"},
		{"garbage ends the walk at the last vouched hop", []string{"203.0.113.9, unknown, 10.1.1.1"}, "10.1.1.1"},
		{"garbage at once", []string{"203.0.113.9, <script>"}, "10.0.0.1"},
		{"empty entry", []string{"203.0.113.9,"}, "10.0.0.1"},
		{"port", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"v6 with port", []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{"v6 in brackets", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"mapped v4 is v4", []string{"203.0.113.9, ::ffff:10.1.1.1"}, "203.0.113.9"},
		{"zone is dropped", []string{"fe80::1%eth0"}, "fe80::1"},
		{"too many hops", []string{"203.0.113.9" + strings.Repeat(",10.1.1.1", maxHops)}, "10.1.1.1"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			got := forwardedFor(netip.MustParseAddr("10.0.0.1"), tc.lines, trusted, true)
			require.Equal(t, tc.want, got.String())
		})
	}
	peer := netip.MustParseAddr("10.0.0.1")
	require.Equal(t, "203.0.113.9", forwardedFor(peer, []string{" 203.0.113.9 "}, trusted, false).String())
	require.Equal(t, peer, forwardedFor(peer, []string{"1.1.1.1, 2.2.2.2"}, trusted, false), "a single-value header with two values")
	require.Equal(t, peer, forwardedFor(peer, []string{"1.1.1.1", "2.2.2.2"}, trusted, false), "a single-value header twice")
}

// FuzzForwardedFor: whatever a client puts in front, the address that the trusted proxy appended decides.
func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"", "1.2.3.4", "unknown", "10.0.0.9, 10.0.0.8", "[::1]:80,,", "::ffff:10.0.0.1", "\x00", "fe80::1%a,b"} {
		f.Add(s)
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	peer, client := netip.MustParseAddr("10.0.0.1"), "203.0.113.9"
	f.Fuzz(func(t *testing.T, sent string) {
		for _, lines := range [][]string{{sent + ", " + client}, {sent, client}, {sent, client + ",10.3.3.3"}} {
			if got := forwardedFor(peer, lines, trusted, true); got.String() != client {
				t.Errorf("%q moved the address to %v", lines, got)
			}
		}
		got := forwardedFor(peer, []string{sent}, trusted, true)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q gives %v", sent, got)
		}
		if ip, ok := parseAddr(sent); ok {
			if again, ok := parseAddr(ip.String()); !ok || again != ip {
				t.Errorf("%q is not stable: %v, %v", sent, ip, again)
			}
		}
	})
}

func TestClientIPTrustsNobodyByDefault(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		remote string
		opts   *ClientIPOptions
		want   string
	}{
		{"203.0.113.1:99", nil, "203.0.113.1"},
		{"203.0.113.1:99", &ClientIPOptions{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "203.0.113.1"},
		{"10.0.0.1:99", &ClientIPOptions{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "6.6.6.6"},
		{"[::ffff:10.0.0.1]:99", &ClientIPOptions{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "6.6.6.6"},
		{"10.0.0.1:99", &ClientIPOptions{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Header: "cf-connecting-ip"}, "7.7.7.7"},
		{"@", nil, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: tc.remote, Header: http.Header{"X-Forwarded-For": {"6.6.6.6"}, "Cf-Connecting-Ip": {"7.7.7.7"}}}
		var got string
		ClientIP(tc.opts)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = InfoFrom(r.Context()).ClientIP().String()
			require.Equal(t, tc.remote, r.RemoteAddr, "RemoteAddr was rewritten")
		})).ServeHTTP(nil, r)
		require.Equal(t, tc.want, got)
	}
}

func FuzzRedactQuery(f *testing.F) {
	for _, s := range []string{"a=1&token=x", "%zz", "=&=", "TOKEN=a%26b", "q=a@b", "a;b=c", strings.Repeat("k=v&", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		out, err := url.ParseQuery(redactQuery(raw))
		if err != nil {
			t.Fatalf("%q became %q, which is no query", raw, redactQuery(raw))
		}
		for name, values := range out {
			for _, v := range values {
				if (isSensitive(name) || strings.Contains(v, "@")) && v != "REDACTED" {
					t.Errorf("%q shows %q", raw, v)
				}
			}
		}
	})
}
