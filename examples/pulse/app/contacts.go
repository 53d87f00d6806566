package app

import (
	"context"
	"strings"

	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// Contact is somebody whom alerts reach. It has fields and no life of its own,
// so it is a record: what a table and its constraints can say is enough. The
// monitor, which has one, is an aggregate in package uptime.
type Contact struct {
	record.Base
	Name  string `json:"name"`
	Email string `json:"email"`
	Phone string `json:"phone,omitempty"` // E.164; empty: no text messages
}

var contacts = record.Define[Contact]("pulse.contacts", &record.Options{
	Unique: []record.Unique{{Columns: []string{"email"}, Name: "contacts_email"}},
})

// maxContacts bounds what one alert sends.
const maxContacts = 20

// Validate reports the first field that is wrong. Saving calls it.
func (c *Contact) Validate() error {
	c.Name = strings.TrimSpace(c.Name)
	if c.Name == "" || len(c.Name) > 100 {
		return &uptime.FieldError{Field: "name", Problem: "must have 1 to 100 bytes"}
	}
	if err := (notify.Recipient{Email: c.Email}).Validate(); err != nil || c.Email == "" {
		return &uptime.FieldError{Field: "email", Problem: "is not an e-mail address"}
	}
	if err := (notify.Recipient{Email: c.Email, Phone: c.Phone}).Validate(); err != nil {
		return &uptime.FieldError{Field: "phone", Problem: "must look like +4930123456"}
	}
	return nil
}

// ContactIn is a contact as a team writes it.
type ContactIn struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Phone string `json:"phone"`
}

// ContactsIn asks for a page of contacts.
type ContactsIn struct {
	After  string `query:"after"`  // next of the page before
	Before string `query:"before"` // prev of the page behind
	Limit  int    `query:"limit"`  // 1 to 50; zero: 20
}

// ContactsOut is a page of contacts, by name.
type ContactsOut struct {
	Items []Contact `json:"items"`
	Next  string    `json:"next,omitempty"` // absent: this is the last page
	Prev  string    `json:"prev,omitempty"` // absent: this is the first page
}

// Contacts lists the team's contacts.
func (a *App) Contacts(ctx context.Context, in ContactsIn) (ContactsOut, error) {
	if in.Limit < 0 || in.Limit > 50 {
		return ContactsOut{}, &uptime.FieldError{Field: "limit", Problem: "must be 1 to 50"}
	}
	if in.Limit == 0 {
		in.Limit = 20
	}
	page, err := a.contacts.Page(ctx, a.readOnly(), record.Query{Order: "name", Limit: in.Limit, After: in.After, Before: in.Before})
	return ContactsOut{Items: page.Items, Next: page.Next, Prev: page.Prev}, err
}

// AddContact adds somebody to the team's alerts.
func (a *App) AddContact(ctx context.Context, in ContactIn) (Contact, error) {
	c := Contact{Name: in.Name, Email: in.Email, Phone: in.Phone}
	err := a.DB.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Lock("pulse.contacts")
		n, err := contacts.Count(ctx, tx, record.Query{})
		if err != nil {
			return err
		}
		if n >= maxContacts {
			return &uptime.FieldError{Field: "email", Problem: "would be one contact too many: remove another first"}
		}
		return contacts.Save(ctx, tx, &c)
	})
	return c, err
}

// ContactRef names a contact in the path.
type ContactRef struct {
	ID string `path:"id" json:"-"`
}

// ChangeContactIn is a contact as it shall be.
type ChangeContactIn struct {
	ContactRef
	ContactIn
	Version int64 `json:"version"` // of the contact that was read; another one since then is a conflict
}

// ChangeContact replaces a contact that nobody else has changed meanwhile.
func (a *App) ChangeContact(ctx context.Context, in ChangeContactIn) (Contact, error) {
	c, err := contacts.Find(ctx, a.DB, in.ID)
	if err != nil {
		return Contact{}, err
	}
	c.Name, c.Email, c.Phone, c.Version = in.Name, in.Email, in.Phone, in.Version
	return c, contacts.Save(ctx, a.DB, &c)
}

// RemoveContact takes somebody off the team's alerts.
func (a *App) RemoveContact(ctx context.Context, ref ContactRef) (struct{}, error) {
	n, err := contacts.DeleteBy(ctx, a.DB, "id = $1", ref.ID)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return struct{}{}, err
}
