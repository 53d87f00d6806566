package smtpmail

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/notify"
)

// encode writes an Internet message (RFC 5322) with CRLF line ends: ASCII only, no
// line over 998 bytes, so that it needs no extension of the server.
func encode(from notify.Address, m notify.Email, id string, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	header := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	header("From", formatAddress(from))
	header("To", formatAddress(m.To))
	header("Subject", encodeWords(m.Subject))
	header("Date", now.UTC().Format(time.RFC1123Z))
	header("Message-ID", id)
	header("MIME-Version", "1.0")
	header("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office replies

	type part struct{ kind, body string }
	var parts []part
	if m.Text != "" {
		parts = append(parts, part{"text/plain; charset=utf-8", m.Text})
	}
	if m.HTML != "" { // RFC 2046 §5.1.4: the richest alternative comes last
		parts = append(parts, part{"text/html; charset=utf-8", m.HTML})
	}
	if len(parts) == 1 {
		header("Content-Type", parts[0].kind)
		header("Content-Transfer-Encoding", "quoted-printable")
		b.WriteString("\r\n")
		err := writeBody(&b, parts[0].body)
		return b.Bytes(), err
	}
	w := multipart.NewWriter(&b)
	header("Content-Type", `multipart/alternative; boundary="`+w.Boundary()+`"`)
	b.WriteString("\r\n")
	for _, p := range parts {
		body, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {p.kind},
			"Content-Transfer-Encoding": {"quoted-printable"},
		})
		if err != nil {
			return nil, err
		}
		if err := writeBody(body, p.body); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// writeBody settles the line ends first: after a lone CR, quotedprintable.Writer
// drops the next LF, wherever it comes.
func writeBody(w io.Writer, body string) error {
	q := quotedprintable.NewWriter(w)
	if _, err := strings.NewReplacer("\r\n", "\n", "\r", "\n").WriteString(q, body); err != nil {
		return err
	}
	return q.Close()
}

// formatAddress puts the name into quotes or encoded words (RFC 2047 §5).
func formatAddress(a notify.Address) string {
	addr := "<" + a.Email + ">"
	switch {
	case a.Name == "":
		return addr
	case isPlain(a.Name):
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Name) + `" ` + addr
	}
	return encodeWords(a.Name) + "\r\n " + addr
}

// encodeWords returns plain text as it is and all other text as encoded
// words of at most 75 bytes (RFC 2047 §2), one a line.
func encodeWords(s string) string {
	if isPlain(s) {
		return s
	}
	const prefix, suffix, chunk = "=?utf-8?B?", "?=", 45 // 45 bytes make 60 of base64
	var words []string
	for len(s) > 0 {
		n := min(chunk, len(s))
		for n < len(s) && !utf8.RuneStart(s[n]) { // never split a character
			n--
		}
		words = append(words, prefix+base64.StdEncoding.EncodeToString([]byte(s[:n]))+suffix)
		s = s[n:]
	}
	return strings.Join(words, "\r\n ")
}

// isPlain: printable ASCII that no reader takes for an encoded word, without
// outer spaces, which a header would lose.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return !strings.Contains(s, "=?") && strings.TrimSpace(s) == s
}

// messageKey makes the left side of a Message-ID of any key: hexadecimal ones,
// which notify makes, as they are, others hashed.
func messageKey(key string) string {
	for i := range len(key) {
		if c := key[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			sum := sha256.Sum256([]byte(key))
			return hex.EncodeToString(sum[:16])
		}
	}
	return key
}
