package notify_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/mail"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]notify.Address{
		"ann@example.com":                                  {Email: "ann@example.com"},
		" Ann Lee <ann.lee+x@mail.example.com> ":           {Name: "Ann Lee", Email: "ann.lee+x@mail.example.com"},
		`"Lee, Ann" <ann@example.com>`:                     {Name: "Lee, Ann", Email: "ann@example.com"},
		"=?utf-8?q?Zo=C3=AB?= <zoe@xn--bcher-kva.example>": {Name: "Zoë", Email: "zoe@xn--bcher-kva.example"},
		"root@localhost":                                   {Email: "root@localhost"},
	} {
		got, err := notify.ParseAddress(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{
		"", "ann", "@example.com", "ann@", "ann@@example.com", "ann@example.com, bob@example.com", "ann lee@example.com",
		`"ann lee"@example.com`, "ann@[127.0.0.1]", "ann@-x.example", "ann@x-.example", "ann@x..example", "ann@example.com.",
		".ann@example.com", "ann.@example.com", "zoë@example.com", "ann@bücher.example", "team: ann@example.com;",
		"ann@example.com\r\nBcc: evil@example.com", "=?utf-8?q?a=0D=0ABcc:_x?= <ann@example.com>",
		strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("a.", 130) + "example", strings.Repeat("a", 2000),
		"a@" + strings.Repeat("b", 64) + ".example",
	} {
		_, err := notify.ParseAddress(bad)
		require.ErrorIs(t, err, notify.ErrInvalid, "%.80q", bad)
	}
	for _, bad := range []string{"hidden@", "hidden@x..y", "hidden hidden@x.y", strings.Repeat("hidden", 20) + "@x.y", "hidden\n <a@x.y>"} {
		_, err := notify.ParseAddress(bad)
		require.ErrorIs(t, err, notify.ErrInvalid)
		require.NotContains(t, err.Error(), "hidden", "the input is not repeated")
	}
}

func TestParsePhone(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"+14155550100": "+14155550100", "+49 (30) 901820-0": "+49309018200", "+44.20.7946.0958": "+442079460958", "+1234567": "+1234567",
	} {
		got, err := notify.ParsePhone(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{
		"", "+", "14155550100", "0014155550100", "+0155550100", "+123456", "+1234567890123456", "+1415555010O",
		"+1415555０100", "++14155550100", "+1 415\r\n5550100", "+1415555,0100", strings.Repeat(" ", 65) + "+14155550100",
	} {
		_, err := notify.ParsePhone(bad)
		require.ErrorIs(t, err, notify.ErrInvalid, "%q", bad)
		require.NotContains(t, err.Error(), "0100")
	}
}

func TestRecipientValidate(t *testing.T) {
	t.Parallel()
	ok := notify.Recipient{ID: "user:1.a-b_c", Name: "Zoë, Ltd.", Email: "zoe@example.com", Phone: "+14155550100"}
	require.NoError(t, ok.Validate())
	for field, r := range map[string]notify.Recipient{
		"ID is longer":             {ID: strings.Repeat("x", 129), Email: ok.Email},
		"ID has":                   {ID: "ann@example.com", Email: ok.Email},
		"neither Email":            {Name: "Ann"},
		"Recipient.Name":           {Name: "a\nb", Email: ok.Email},
		"Recipient.Name is longer": {Name: strings.Repeat("x", 129), Email: ok.Email},
		"Recipient.Email":          {Email: "secret.ann", Phone: ok.Phone},
		"Recipient.Phone":          {Email: ok.Email, Phone: "555 secret"},
	} {
		err := r.Validate()
		require.ErrorIs(t, err, notify.ErrInvalid)
		require.ErrorContains(t, err, field)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "ann@example.com")
	}
}

// Whoever prints or logs a recipient gets no address.
func TestAddressesStayOutOfLogs(t *testing.T) {
	t.Parallel()
	r := notify.Recipient{ID: "user-1", Name: "Ann", Email: "ann@example.com", Phone: "+14155550100"}
	bad := notify.Recipient{ID: "ann@example.com", Email: "ann@example.com"}
	for _, handler := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("sent", "to", r, "bad", bad, "from", notify.Address{Name: "Ann", Email: "ann@example.com"})
		fmt.Fprint(&b, r, bad)
		fmt.Fprintf(&b, "%v %+v %s", r, r, bad)
		require.Contains(t, b.String(), "user-1")
		require.NotContains(t, b.String(), "example.com")
		require.NotContains(t, b.String(), "4155550100")
	}
}

// FuzzParseAddress: what is accepted is safe in a header and in an SMTP command,
// means the same to the standard library, and parses again.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"ann@example.com", "Ann <ann@example.com>", `"a\"b" <a@b.c>`, "=?utf-8?b?YQ0K?= <a@b.c>", "a@b.c\r\nBcc: d@e.f", "<@x:a@b.c>", "a@b.c (comment)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := notify.ParseAddress(s)
		if err != nil {
			require.ErrorIs(t, err, notify.ErrInvalid)
			return
		}
		require.NoError(t, a.Validate())
		require.NotContains(t, a.Name, "\n")
		require.False(t, strings.ContainsAny(a.Email, " \t\r\n<>,;:\"()[]\\"), "%q", a.Email)
		require.Equal(t, 1, strings.Count(a.Email, "@"))
		again, err := mail.ParseAddress(a.String())
		require.NoError(t, err)
		require.Equal(t, a, notify.Address{Name: again.Name, Email: again.Address})
	})
}

// FuzzParsePhone: the result is E.164 and parses to itself.
func FuzzParsePhone(f *testing.F) {
	for _, s := range []string{"+14155550100", "+1 (415) 555-0100", "+", "+0", "+१२३४५६७", "+1\u00a0415 5550100"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := notify.ParsePhone(s)
		if err != nil {
			require.ErrorIs(t, err, notify.ErrInvalid)
			return
		}
		require.Regexp(t, `^\+[1-9][0-9]{6,14}$`, p)
		again, err := notify.ParsePhone(p)
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}
