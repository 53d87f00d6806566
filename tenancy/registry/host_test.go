package registry_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy/registry"
)

func TestParseHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"shop.acme.com":                      "shop.acme.com",
		"SHOP.Acme.COM":                      "shop.acme.com",
		"shop.acme.com.":                     "shop.acme.com",
		"shop.acme.com:8443":                 "shop.acme.com",
		"shop.acme.com.:443":                 "shop.acme.com",
		"a--b.acme.com":                      "a--b.acme.com",
		"1.acme.com":                         "1.acme.com",
		"Bücher.example":                     "xn--bcher-kva.example",
		"xn--bcher-kva.example":              "xn--bcher-kva.example",
		"XN--BCHER-KVA.example":              "xn--bcher-kva.example",
		"bücher。example":                     "xn--bcher-kva.example", // an ideographic full stop
		"straße.example":                     "xn--strae-oqa.example",
		strings.Repeat("a", 63) + ".example": strings.Repeat("a", 63) + ".example",
	} {
		got, err := registry.ParseHost(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
	}
}

func TestParseHostRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", ".", "..", "localhost", "com", "a..com", ".a.com", "a.com..", "-a.com", "a-.com", "a_b.com", "a b.com", "a.com/x", "user@a.com",
		"http://a.com", "*.a.com", "a.com:x", "a.com:80:80", "[::1]", "[::1]:80", "::1", "127.0.0.1", "127.0.0.1:80", "0x7f.1", "1.0x7f",
		"2130706433", "１２７.０.０.１", "127。0。0。1", "xn--a.example", "xn--.example", "a\x00.com", "a.com\n", "\u202ea.com",
		strings.Repeat("a", 64) + ".example", strings.Repeat("abcdefgh.", 32) + "example", strings.Repeat("ü", 5000) + ".example",
	} {
		_, err := registry.ParseHost(in)
		require.ErrorIs(t, err, registry.ErrHost, "%q", in)
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"shop.acme.com:80", "Bücher.example.", "xn--bcher-kva.example", "127.0.0.1", "[::1]:80", "a。b", "0x7f.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, err := registry.ParseHost(s)
		if err != nil {
			require.ErrorIs(t, err, registry.ErrHost)
			return
		}
		again, err := registry.ParseHost(host)
		require.NoError(t, err, "%q from %q", host, s)
		require.Equal(t, host, again, "one spelling")
		require.LessOrEqual(t, len(host), 253)
		require.Equal(t, strings.ToLower(host), host)
		require.Contains(t, host, ".")
		require.Empty(t, strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-."), host)
		_, err = netip.ParseAddr(host)
		require.Error(t, err, "an address: %q", host)
	})
}
