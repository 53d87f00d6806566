package tenancy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxName is where PostgreSQL silently cuts names, so that two longer ones could become the same.
const maxName = 63

// Placement says where a tenant's data is. The zero value is the common place: the database and the search_path of the
// pools given to New, where row-level security alone keeps tenants apart.
//
// A schema or database of its own is a place, not a wall: the tenant is set and verified all the same, and tables there are
// protected as everywhere (tenancy.protect). With it a tenant can be restored, moved, tuned and deleted by itself.
//
// Events and marks of consumers stay in the schema tenancy of the database, so one relay serves all schemas of a database,
// and each further database needs Migrations, its seal and a relay of its own: see DB.At. How a tenant gets there while the
// program runs is in docs/moving-a-tenant.md; see DB.Restrict.
//
// Schemas cost catalog: with 20 tables each an empty one takes 0.9 MB on disk, and a connection that has touched 1,000 of
// them holds some 230 MB. A statement is prepared once per schema and connection, which costs two round trips instead of
// one. Beyond some hundred schemas a tenant_id column in common tables, or databases, are the better place.
type Placement struct {
	// Schema is searched for tables instead of the search_path of the session, for this transaction only; after it come
	// Options.SharedSchemas, and nothing else. The roles need USAGE on it. Empty means the session's search_path.
	Schema string

	// Database is a name that Options.Databases knows. Such units read on no replica. Empty means the pools given to New.
	Database string
}

func (p Placement) check() error {
	switch {
	case len(p.Schema) > maxName, !utf8.ValidString(p.Schema), hasNUL(p.Schema):
		return fmt.Errorf("tenancy: Placement.Schema is not valid UTF-8 of at most %d bytes without NUL", maxName)
	case strings.HasPrefix(p.Schema, "pg_"), p.Schema == "$user":
		return fmt.Errorf("tenancy: Placement.Schema %q has a meaning of its own for PostgreSQL", p.Schema)
	}
	return nil
}

// At returns a handle on the same DB whose units run in one database of Options.Databases. Units of no tenant need it, e.g.
// those of an outbox relay, of which each database with events needs one. A tenant that is placed in another database fails
// with ErrTenantMismatch. Empty means the pools given to New. It costs nothing.
func (db *DB) At(database string) *DB {
	h := *db
	h.at = &Placement{Database: database}
	return &h
}

// within returns a handle whose units run at p, whatever Options.Place says meanwhile.
func (db *DB) within(p Placement) *DB {
	h := *db
	h.at, h.fixed = &p, true
	return &h
}

// placingKey marks the context of Options.Place, so that what it looks up in this DB is not placed itself.
type placingKey struct{ core *core }

// placement tells where a unit of who runs. It is asked once per unit, not per attempt.
func (db *DB) placement(ctx context.Context, who identity) (p Placement, err error) {
	if db.at != nil {
		p = *db.at
	}
	place := db.core.opts.Place
	if place == nil || db.fixed || who.tenant == "" || ctx.Value(placingKey{db.core}) != nil {
		return p, nil
	}
	placed, err := place(context.WithValue(ctx, placingKey{db.core}, true), who.tenant)
	if err == nil {
		err = placed.check()
	}
	switch {
	case err != nil:
		return Placement{}, fmt.Errorf("tenancy: place the tenant: %w", err)
	case db.at != nil && placed.Database != p.Database:
		return Placement{}, ErrTenantMismatch
	}
	return placed, nil
}

// elsewhere tells whether a handle asks for another database than the open unit's.
func (db *DB) elsewhere(tx *Tx) bool {
	return db.at != nil && db.at.Database != tx.target.Place.Database
}

var errNoDatabases = errors.New("a unit in a database of its own needs Options.Databases")
