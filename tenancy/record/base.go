package record

import "time"

// Base is what most records embed. Its columns are
//
//	id         text not null,          -- a UUID of version 7, made by this package
//	version    bigint not null,
//	created_at timestamptz not null,
//	updated_at timestamptz not null
//
// All fields are set by the methods that write. The zero value is a record that has not been saved.
type Base struct {
	ID        string    `db:"id,pk,auto" json:"id"`
	Version   int64     `db:"version,version" json:"version"`
	CreatedAt time.Time `db:"created_at,created" json:"created_at"`
	UpdatedAt time.Time `db:"updated_at,updated" json:"updated_at"`
}
