package notify

import (
	"errors"
	"log/slog"
)

// Recipient is a person and the ways to reach them. At least one of Email and
// Phone is needed; a channel without an address is skipped.
type Recipient struct {
	// ID is your own opaque id of the person: letters, digits and "._:-", at most
	// 128. It is optional, it is the only part that logs may show, and with it a
	// person whose address changes is still the same recipient to [Keyed].
	ID    string
	Name  string // display name; optional
	Email string // plain address, see [Address]
	Phone string // E.164, see [ParsePhone]
}

// Validate reports what is wrong with r; the error wraps [ErrInvalid] and names
// the field, not its content.
func (r Recipient) Validate() error {
	if err := r.check(); err != nil {
		return invalid("notify: recipient", err)
	}
	return nil
}

// LogValue keeps addresses out of logs: it shows the ID alone.
func (r Recipient) LogValue() slog.Value { return slog.StringValue(r.label()) }

// String shows the ID alone, so that fmt does not print addresses either.
func (r Recipient) String() string { return r.label() }

func (r Recipient) label() string {
	if r.ID == "" || r.check() != nil {
		return "[recipient]"
	}
	return r.ID
}

func (r Recipient) check() error {
	if len(r.ID) > 128 {
		return errors.New("Recipient.ID is longer than 128 bytes")
	}
	for i := range len(r.ID) {
		if c := r.ID[i]; !isAlnum(c) && c != '.' && c != '_' && c != ':' && c != '-' {
			return errors.New("Recipient.ID has a character other than letters, digits and ._:-")
		}
	}
	if r.Email == "" && r.Phone == "" {
		return errors.New("Recipient has neither Email nor Phone")
	}
	if err := checkLine("Recipient.Name", r.Name, maxName); err != nil {
		return err
	}
	if r.Email != "" {
		if err := checkEmail("Recipient.Email", r.Email); err != nil {
			return err
		}
	}
	if r.Phone != "" {
		return checkPhone("Recipient.Phone", r.Phone)
	}
	return nil
}

// identity is what makes two recipients the same person.
func (r Recipient) identity() string {
	if r.ID != "" {
		return "id:" + r.ID
	}
	return "to:" + r.Email + " " + r.Phone
}
