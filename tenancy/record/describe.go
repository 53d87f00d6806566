package record

import (
	"slices"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// Description says what a table looks like, for code that builds forms, filters and APIs. It is JSON-marshalable.
type Description struct {
	Table      string     `json:"table"`
	SoftDelete bool       `json:"soft_delete"`
	Audited    bool       `json:"audited"`
	Columns    []Column   `json:"columns"` // in the order of the struct
	Unique     [][]string `json:"unique"`  // columns of unique constraints, the primary key first
}

// Column is one column of a Description.
type Column struct {
	Name     string   `json:"name"`
	Field    string   `json:"field"` // of the struct, for reflection: "ID", or "Base.ID" if embedded
	Kind     string   `json:"kind"`  // text, integer, number, boolean, time, bytes, json, list or other
	SQL      string   `json:"sql"`   // bigint
	Go       string   `json:"go"`    // *int64
	Nullable bool     `json:"nullable"`
	Key      bool     `json:"key"`               // part of the primary key
	ReadOnly bool     `json:"read_only"`         // set by this package or the database, also version and times
	Role     string   `json:"role,omitempty"`    // version, created, updated or deleted
	Search   bool     `json:"search"`            // tag db:",search"
	Hidden   bool     `json:"hidden"`            // tag json:"-"
	Choices  []string `json:"choices,omitempty"` // tag enum:"a,b"
	Ref      string   `json:"ref,omitempty"`     // tag ref:"app.users"
	Label    string   `json:"label"`             // tag label:"…", else made of the name
}

// Describe returns the description of the table. The caller owns it.
func (t *Table[T]) Describe() Description {
	d := Description{Table: t.table.String(), SoftDelete: t.soft, Audited: t.audited}
	for _, f := range t.fields {
		c := Column{
			Name: f.Name, Field: f.path, Kind: kindName(f.Class), SQL: f.SQL, Go: f.Type.String(), Nullable: f.Nullable, Key: f.Key,
			ReadOnly: f.role != plain || f.auto, Role: roleName(f.role), Search: f.search, Hidden: f.secret,
			Choices: slices.Clone(f.enum), Ref: f.ref, Label: f.label,
		}
		if c.Label == "" {
			c.Label = strings.ReplaceAll(f.Name, "_", " ")
			c.Label = strings.ToUpper(c.Label[:1]) + c.Label[1:]
		}
		d.Columns = append(d.Columns, c)
	}
	for _, u := range t.table.Unique {
		d.Unique = append(d.Unique, slices.Clone(u.Columns))
	}
	return d
}

func kindName(c rowop.Class) string {
	switch c {
	case rowop.Bool:
		return "boolean"
	case rowop.Int:
		return "integer"
	case rowop.Float:
		return "number"
	case rowop.Text:
		return "text"
	case rowop.Time:
		return "time"
	case rowop.Bytes:
		return "bytes"
	case rowop.JSON:
		return "json"
	case rowop.Array:
		return "list"
	}
	return "other"
}

func roleName(r role) string {
	switch r {
	case versionOf:
		return "version"
	case createdAt:
		return "created"
	case updatedAt:
		return "updated"
	case deletedAt:
		return "deleted"
	}
	return ""
}
