package httpx

import (
	"net/http"
	"net/netip"
	"strings"
)

// ClientIPOptions says whom to believe about the client's address. The zero value believes nobody: the address is the peer's.
type ClientIPOptions struct {
	// TrustedProxies are the networks of the proxies in front of this server. Only their headers are read. Nil means none.
	TrustedProxies []netip.Prefix

	// Header carries the address. Zero means X-Forwarded-For, which is walked from right to left over trusted proxies.
	// Any other header, such as CF-Connecting-IP, holds exactly one address.
	Header string
}

// maxHops bounds how many X-Forwarded-For entries are looked at.
const maxHops = 32

// ClientIP finds the address of the client and whether it speaks TLS, for [Info]. It never changes RemoteAddr. What it cannot
// verify it does not use: a header from an untrusted peer is ignored, and at the first entry that is no address the walk stops at
// the last one that a trusted proxy vouched for. IPv4-mapped IPv6 addresses are folded and zones are dropped.
// X-Forwarded-Proto is believed from trusted peers only.
func ClientIP(opts *ClientIPOptions) Middleware {
	if opts == nil {
		opts = &ClientIPOptions{}
	}
	trusted := opts.TrustedProxies
	header := opts.Header
	if header == "" {
		header = "X-Forwarded-For"
	}
	header = http.CanonicalHeaderKey(header)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, info := withInfo(r)
			peer, _ := parseAddr(r.RemoteAddr)
			ip, secure, ok := peer, r.TLS != nil, isTrusted(peer, trusted)
			if ok {
				ip = forwardedFor(peer, r.Header[header], trusted, header == "X-Forwarded-For")
				secure = secure || strings.EqualFold(lastElement(r.Header["X-Forwarded-Proto"]), "https")
			}
			info.mu.Lock()
			info.ip, info.secure, info.trusted = ip, secure, ok
			info.mu.Unlock()
			next.ServeHTTP(w, r)
		})
	}
}

// forwardedFor returns the client's address as the trusted peer tells it.
func forwardedFor(peer netip.Addr, lines []string, trusted []netip.Prefix, walk bool) netip.Addr {
	if !walk {
		if len(lines) == 1 {
			if ip, ok := parseAddr(strings.TrimSpace(lines[0])); ok {
				return ip
			}
		}
		return peer
	}
	ip := peer
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for more := true; more; {
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				entry, more = rest, false
			}
			next, ok := parseAddr(strings.TrimSpace(entry))
			if hops++; !ok || hops > maxHops {
				return ip
			}
			if ip = next; !isTrusted(ip, trusted) {
				return ip
			}
		}
	}
	return ip
}

// parseAddr reads "ip", "ip:port" and "[ip]:port".
func parseAddr(s string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		ip = ap.Addr()
	}
	return ip.Unmap().WithZone(""), true
}

func isTrusted(ip netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// lastElement returns the entry that the nearest proxy added.
func lastElement(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	last := lines[len(lines)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}
