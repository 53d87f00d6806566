// Package redact keeps addresses and secrets out of error texts. Providers like
// to quote the recipient in their answers.
package redact

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	mark    = "[redacted]"
	maxText = 300
	maxRead = 64 << 10 // far beyond maxText, so that no half of an address is left at the cut
)

var (
	// addressLike is wider than any real address on purpose.
	addressLike = regexp.MustCompile(`[^\s<>"'(),;:]+(?:@|%40)[^\s<>"'(),;:]+`)
	// phoneLike is seven digits or more, perhaps grouped.
	phoneLike = regexp.MustCompile(`(?:\+|%2B)?\d(?:[ .()-]{0,2}\d){6,}`)
)

// Text returns at most 300 bytes of s as one line, without the given secrets and
// without anything that looks like an e-mail address or a phone number.
func Text(s string, secrets ...string) string {
	s = s[:min(len(s), maxRead)]
	s = strings.ToValidUTF8(s, "?")
	s = replace(s, secrets)
	s = addressLike.ReplaceAllString(s, mark)
	s = phoneLike.ReplaceAllString(s, mark)
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(s) > maxText {
		cut := maxText
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

// Error returns err unchanged if its text holds none of the secrets, else an
// error with a cleaned text that still unwraps to err.
func Error(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if clean := replace(text, secrets); clean != text {
		return &redacted{text: clean, err: err}
	}
	return err
}

func replace(s string, secrets []string) string {
	for _, secret := range secrets {
		// Shorter ones, such as a given name, also occur by chance.
		if len(secret) >= 4 {
			s = strings.ReplaceAll(s, secret, mark)
		}
	}
	return s
}

type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.err }
