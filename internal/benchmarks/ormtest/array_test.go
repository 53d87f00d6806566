package ormtest

import (
	"database/sql/driver"
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"
)

// textArray is text[] for code on database/sql, which gets and gives PostgreSQL's text.
type textArray []string

// Scan implements sql.Scanner.
func (a *textArray) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("%T is not the text of an array", src)
	}
	return pgtype.NewMap().Scan(pgtype.TextArrayOID, pgtype.TextFormatCode, []byte(s), (*[]string)(a))
}

// Value implements driver.Valuer.
func (a textArray) Value() (driver.Value, error) {
	b, err := pgtype.NewMap().Encode(pgtype.TextArrayOID, pgtype.TextFormatCode, []string(a), nil)
	return string(b), err
}
