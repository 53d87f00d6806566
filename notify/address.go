package notify

import (
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of RFC 5321 §4.5.3.1 for an address, ours for a display name.
const (
	maxEmail = 254
	maxLocal = 64
	maxName  = 128
)

// Address is an e-mail address with an optional display name, for example the
// sender of a provider. The zero value is not a valid address.
type Address struct {
	Name  string // any UTF-8 text of at most 128 bytes without control characters
	Email string // an ASCII addr-spec of RFC 5322 in its plain (unquoted) form
}

// ParseAddress reads "ann@acme.dev" or "Ann <ann@acme.dev>" (RFC 5322 §3.4).
// Quoted local parts, domain literals and non-ASCII addresses are refused, since
// providers disagree about them; write an international domain in punycode.
// The error wraps [ErrInvalid] and never repeats the input.
func ParseAddress(s string) (Address, error) {
	const op = "notify: parse address"
	if len(s) > 1000 {
		return Address{}, invalid(op, errors.New("longer than 1000 bytes"))
	}
	// net/mail's error quotes its input, hence the fixed text.
	m, err := mail.ParseAddress(s)
	if err != nil || strings.HasSuffix(strings.TrimSpace(s), ";") { // a group of one
		return Address{}, invalid(op, errors.New("not an address of the form ann@example.com or Ann <ann@example.com>"))
	}
	a := Address{Name: m.Name, Email: m.Address}
	if err := a.check("address"); err != nil {
		return Address{}, invalid(op, err)
	}
	return a, nil
}

// Validate reports what is wrong with a; the error wraps [ErrInvalid].
func (a Address) Validate() error {
	if err := a.check("Address"); err != nil {
		return invalid("notify: address", err)
	}
	return nil
}

// String formats a for a header (RFC 5322, RFC 2047). Do not log it.
func (a Address) String() string {
	m := mail.Address{Name: a.Name, Address: a.Email}
	return m.String()
}

// LogValue keeps the address out of logs.
func (a Address) LogValue() slog.Value { return slog.StringValue("[address]") }

func (a Address) check(field string) error {
	if err := checkLine(field+".Name", a.Name, maxName); err != nil {
		return err
	}
	return checkEmail(field+".Email", a.Email)
}

// ParsePhone returns s as an E.164 number ("+14155550100"). Spaces, dots, dashes
// and brackets are dropped; the leading + and country code are required, because
// guessing a country sends messages to strangers. The error wraps [ErrInvalid]
// and never repeats the input.
func ParsePhone(s string) (string, error) {
	if len(s) > 64 {
		return "", invalid("notify: parse phone", errors.New("longer than 64 bytes"))
	}
	phone := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" .-()\u00a0", r) {
			return -1
		}
		return r
	}, s)
	if err := checkPhone("phone", phone); err != nil {
		return "", invalid("notify: parse phone", err)
	}
	return phone, nil
}

// checkPhone accepts what ITU-T E.164 allows: + and at most 15 digits, the first
// not 0. Fewer than 7 are short codes, which exist only within one country.
func checkPhone(field, s string) error {
	bad := len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0'
	for i := 1; i < len(s) && !bad; i++ {
		bad = s[i] < '0' || s[i] > '9'
	}
	if bad {
		return fmt.Errorf("%s is not an E.164 number: + and 7 to 15 digits, country code first", field)
	}
	return nil
}

func checkEmail(field, s string) error {
	at := strings.LastIndexByte(s, '@')
	switch {
	case s == "":
		return fmt.Errorf("%s is empty", field)
	case len(s) > maxEmail || at > maxLocal:
		return fmt.Errorf("%s is longer than RFC 5321 allows (64 before the @, 254 in all)", field)
	case at < 1 || !isDotAtom(s[:at]) || !isDomain(s[at+1:]):
		return fmt.Errorf("%s is not a plain ASCII address (RFC 5322)", field)
	}
	return nil
}

// isDotAtom: RFC 5322 §3.2.3.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if c := atom[i]; !isAlnum(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
				return false
			}
		}
	}
	return true
}

// isDomain: letters, digits and inner hyphens, labels of at most 63 (RFC 1035 §2.3.1).
func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !isAlnum(c) && c != '-' {
				return false
			}
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// checkLine accepts text that is safe in a header: one line, no control characters.
// A line break is an attack or a bug; repairing it silently would hide both.
func checkLine(field, s string, max int) error {
	switch {
	case len(s) > max:
		return fmt.Errorf("%s is longer than %d bytes", field, max)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not UTF-8", field)
	case strings.ContainsFunc(s, isBreak):
		return fmt.Errorf("%s contains a line break or control character", field)
	}
	return nil
}

func isBreak(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// checkBody accepts text of several lines.
func checkBody(field, s string, max int) error {
	switch {
	case len(s) > max:
		return fmt.Errorf("%s is longer than %d bytes", field, max)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not UTF-8", field)
	case strings.ContainsRune(s, 0):
		return fmt.Errorf("%s contains a NUL character", field)
	}
	return nil
}

func invalid(op string, err error) error { return &Error{Op: op, Kind: ErrInvalid, Err: err} }
