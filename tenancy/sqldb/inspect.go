package sqldb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"
)

// op is what a savepoint statement does.
type op int

const (
	opSave op = iota
	opRelease
	opRollback
)

// savepoint is a statement like SAVEPOINT name.
type savepoint struct {
	op   op
	name string // folded as PostgreSQL does
}

// inspect refuses statements that do not belong into a unit and recognises savepoints, by the first words.
func inspect(query string) (*savepoint, error) {
	if i := strings.IndexByte(query, ';'); i >= 0 && strings.TrimSpace(query[i+1:]) != "" {
		list := sqlsplit.Split(query)
		for _, s := range list {
			sp, err := inspectOne(s.Text)
			if err != nil {
				return nil, err
			}
			if sp != nil && len(list) > 1 {
				return nil, fmt.Errorf("%w: send the savepoint in a statement of its own", ErrRefused)
			}
			if sp != nil {
				return sp, nil
			}
		}
		return nil, nil
	}
	return inspectOne(query)
}

func inspectOne(query string) (*savepoint, error) {
	words := sqlsplit.Words(query, 9) // DECLARE name BINARY INSENSITIVE NO SCROLL CURSOR WITH HOLD
	if len(words) == 0 {
		return nil, nil
	}
	at := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	refuse := func(why string) (*savepoint, error) {
		return nil, fmt.Errorf("%w: %s: %s", ErrRefused, strings.ToUpper(words[0]), why)
	}
	if sqlsplit.Ends(words) {
		return refuse("use BeginTx, Commit and Rollback")
	}
	switch words[0] {
	case "savepoint":
		return &savepoint{opSave, fold(at(1))}, nil
	case "release":
		return &savepoint{opRelease, fold(behind(words[1:], "savepoint"))}, nil
	case "rollback":
		return &savepoint{opRollback, fold(behind(words[slices.Index(words, "to")+1:], "savepoint"))}, nil
	case "set":
		if s := at(1); s != "local" && s != "transaction" && s != "constraints" {
			return refuse("it would outlive the unit of work; use SET LOCAL in a transaction")
		}
	case "reset", "discard", "listen", "unlisten", "load", "prepare", "execute", "deallocate":
		return refuse("it belongs to a session, and there is none; a connection serves the next tenant after this unit")
	case "declare":
		if with := slices.Index(words, "with"); with > 0 && at(with+1) == "hold" {
			return refuse("WITH HOLD would show the rows to the next tenant on this connection")
		}
	case "create", "alter", "drop", "grant", "revoke", "comment":
		return refuse("the schema is changed by its owner in a migration (see tenancy/migrate), not by the application's role; " +
			"switch AutoMigrate off")
	}
	return nil, nil
}

// behind returns the first word after an optional noise word.
func behind(words []string, noise string) string {
	if len(words) > 1 && words[0] == noise {
		words = words[1:]
	}
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// fold returns the name that PostgreSQL sees: sqlsplit has lowered what was not quoted.
func fold(name string) string {
	if len(name) > 1 && name[0] == '"' {
		return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	}
	return name
}
