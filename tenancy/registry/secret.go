package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"strings"
)

// Secret is an API key or an invitation's token, which exists in clear text once: in the answer to the call that made it.
// Printing, logging and encoding it show what stands before the secret part. The zero value is empty.
type Secret struct {
	text *string // behind a pointer, which %p and fields that are not exported do not follow
}

// Reveal returns the text. Show it to whom it is for, and do not store it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns the beginning, which tells secrets apart and opens nothing.
func (s Secret) String() string {
	words := strings.Split(s.Reveal(), "_")
	if len(words) < 3 {
		return ""
	}
	return strings.Join(words[:len(words)-2], "_") + "_…"
}

// Format implements fmt.Formatter: no verb reveals the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler: a Secret in a JSON answer by accident is not revealed; use Reveal.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// newSecret makes head_random_crc, with 130 random bits.
func newSecret(head string) Secret {
	body := head + "_" + rand.Text()
	text := body + "_" + checksum(body)
	return Secret{&text}
}

// checksum makes typing errors and truncated copies visible before any I/O, and lets scanners tell a leaked key from noise.
// It is no protection: everybody can compute it.
func checksum(body string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))) }

// splitSecret returns the words before the random part and the hash of the whole text, if its form and checksum are right.
func splitSecret(text string, heads int) (head []string, hash []byte, ok bool) {
	if len(text) > 128 {
		return nil, nil, false
	}
	words := strings.Split(text, "_")
	n := len(words)
	if n != heads+2 || len(words[n-2]) != 26 || words[n-1] != checksum(strings.TrimSuffix(text, "_"+words[n-1])) {
		return nil, nil, false
	}
	for i, w := range words[:n-1] {
		for _, c := range []byte(w) {
			digit, upper, lower := '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z'
			if !digit && (i == n-2 && !upper || i < n-2 && !lower) {
				return nil, nil, false
			}
		}
	}
	sum := sha256.Sum256([]byte(text))
	return words[:heads], sum[:], true
}

// hashName is the name under which a secret's hash is looked up.
func hashName(hash []byte) string { return hex.EncodeToString(hash) }
