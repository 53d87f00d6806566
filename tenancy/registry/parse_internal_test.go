package registry

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func FuzzSlug(f *testing.F) {
	for _, seed := range []string{"acme", "ACME-2", "xn--a", "\u212a", " a ", "-", strings.Repeat("a", 64)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		slug, err := foldSlug(text)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.True(t, isASCII(slug) && len(slug) > 0 && len(slug) <= 63)
		require.False(t, strings.ContainsAny(slug, " ./_\x00ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		again, err := foldSlug(slug)
		require.NoError(t, err)
		require.Equal(t, slug, again, "folding twice is folding once")
	})
}

func FuzzSecret(f *testing.F) {
	genuine := newSecret("sk_live_abcdefghijklmnop").Reveal()
	for _, seed := range []string{genuine, genuine[1:], "", "sk____", strings.Repeat("_", 100), newSecret("inv").Reveal()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for heads := range 4 {
			head, hash, ok := splitSecret(text, heads)
			if !ok {
				require.Nil(t, hash)
				continue
			}
			words := strings.Split(text, "_")
			require.Len(t, head, heads)
			require.Len(t, words, heads+2)
			body := strings.Join(words[:heads+1], "_")
			require.Equal(t, text, body+"_"+checksum(body), "one spelling only")
			require.Len(t, hash, 32)
		}
	})
}

func FuzzEmail(f *testing.F) {
	for _, seed := range []string{"a@example.com", "A <a@example.com>", "\u212a@example.com", "a@b@c", "\"a b\"@example.com", "a@example.com\r\nBcc: b@example.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		email, err := foldEmail(text)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.True(t, isASCII(email) && strings.EqualFold(email, text) && strings.Contains(email, "@"))
		require.NotContains(t, email, "\n")
		require.NotContains(t, email, "\r")
	})
}

func FuzzPermission(f *testing.F) {
	for _, seed := range []string{"*", "a.*", "a.b", "a..b", "", "*.a", "a*"} {
		f.Add(seed, "a.b")
	}
	f.Fuzz(func(t *testing.T, granted, wanted string) {
		if checkPermission(granted) != nil || checkPermission(wanted) != nil {
			return
		}
		require.True(t, utf8.ValidString(granted))
		// The definition in another form: word by word, where a last * matches what follows.
		g, w := strings.Split(granted, "."), strings.Split(wanted, ".")
		want := granted == wanted
		if n := len(g) - 1; g[n] == "*" && len(w) > n {
			want = slices.Equal(g[:n], w[:n])
		}
		require.Equal(t, want, covers([]string{granted}, wanted), "%q covers %q", granted, wanted)
	})
}

func TestWildcards(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		granted, wanted string
		want            bool
	}{
		{"*", "a", true}, {"*", "*", true}, {"a.*", "a.b", true}, {"a.*", "a.b.c", true}, {"a.*", "a.*", true}, {"a.b", "a.b", true},
		{"a.*", "a", false}, {"a.*", "ab.c", false}, {"a.b", "a.*", false}, {"a.*", "*", false}, {"a.b", "a.b.c", false}, {"a", "b", false},
	} {
		require.Equal(t, c.want, covers([]string{"x", c.granted}, c.wanted), "%+v", c)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkRoles(defaultRoles()))
	for name, roles := range map[string]map[string][]string{
		"no owner":            {"admin": {"*"}},
		"stronger than owner": {Owner: {"a.*"}, "admin": {"b.c"}},
		"name of a role":      {Owner: {"*"}, "a b": {"x"}},
		"permission":          {Owner: {"*"}, "a": {"X y"}},
		"inner wildcard":      {Owner: {"*"}, "a": {"*.x"}},
	} {
		require.Error(t, checkRoles(roles), name)
	}
}
