package smtpmail

import (
	"bytes"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
)

// FuzzEncode: whatever Validate lets pass arrives unchanged, in the given headers
// and no others, and needs no extension of the server.
func FuzzEncode(f *testing.F) {
	f.Add("Ann", "Hello", "text")
	f.Add("Zoë \"Z\", Ltd.", "Grüße =?utf-8?q?x?= 🚀", "a\r\n.\r\nb \n\n=3D")
	f.Add(" spaces ", " outer ", "lone\rreturn")
	f.Add("日本語", strings.Repeat("日本語", 28), strings.Repeat("x", 2000))
	f.Add("", "lone return", "a\rb\nc") // a line end that was once lost
	f.Add("=?", "=?utf-8?B?aGk=?=", "\t")
	f.Fuzz(func(t *testing.T, name, subject, text string) {
		m := notify.Email{Key: "k", To: notify.Address{Name: name, Email: "ann@example.com"}, Subject: subject, Text: text}
		if m.Validate() != nil {
			return
		}
		data, err := encode(notify.Address{Email: "hi@acme.example"}, m, "<k@acme.example>", time.Now())
		require.NoError(t, err)
		for line := range strings.SplitSeq(strings.TrimSuffix(string(data), "\r\n"), "\r\n") {
			require.LessOrEqual(t, len(line), 998)
			require.False(t, strings.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' && r != '\t' }), "%q", line)
		}
		msg, err := mail.ReadMessage(bytes.NewReader(data))
		require.NoError(t, err)
		require.Len(t, msg.Header, 9)
		to, err := msg.Header.AddressList("To")
		require.NoError(t, err)
		require.Equal(t, []*mail.Address{{Name: name, Address: "ann@example.com"}}, to)
		got, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
		require.NoError(t, err)
		require.Equal(t, subject, got)
		body, err := io.ReadAll(quotedprintable.NewReader(msg.Body))
		require.NoError(t, err)
		lines := strings.NewReplacer("\r\n", "\n", "\r", "\n")
		require.Equal(t, lines.Replace(text), lines.Replace(string(body)))
	})
}
