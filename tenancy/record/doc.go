// Package record is Active Record for simple tables: a struct is a row, its tags say what is special about it, and the
// methods of a Table find, save, page and delete. There is no code generation, no dirty tracking and no lazy loading; what
// has rules of its own (an order, an invoice) is better off with a domain model and SQL in a repository.
//
// # Usage
//
//	type Note struct {
//		record.Base // id, version, created_at, updated_at
//		Title string
//		Tags  []string
//		Due   *time.Time // a pointer is a nullable column
//	}
//
//	var Notes = record.Define[Note]("app.notes", nil)
//
//	n := Note{Title: "Hi"}
//	err := Notes.Save(ctx, db, &n)                                           // one round trip, like each method
//	n, err = Notes.Find(ctx, db, n.ID)
//	list, err := Notes.List(ctx, db, record.Query{Where: "due < now()", Order: "-due", Limit: 20})
//	page, err := Notes.Page(ctx, db, record.Query{Order: "-created_at", After: cursor})
//	done, err := Notes.Update(ctx, db, "stars = stars + $1", "id = $2", 1, n.ID)
//	err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
//		n, err := Notes.First(ctx, tx, record.Query{Where: "id = $1", Args: []any{n.ID}, Lock: record.ForUpdate})
//		if err != nil {
//			return err
//		}
//		n.Title = "Bye"
//		return Notes.SaveLater(tx, &n)                                       // leaves with COMMIT
//	})
//
// A querier is a *tenancy.DB, on which each call is a transaction of its own or part of the open unit of its context, or a
// *tenancy.Tx. Conditions are SQL with arguments, so there is nothing to learn; they are part of the program, never input.
// Query.Order and cursors may be input: they are checked.
//
// What Django's managers do, and this package: get_or_create is FindOrSave, update_or_create Upsert, bulk_create InsertAll
// and UpsertAll, in_bulk FindMany, select_for_update Query.Lock, F() an expression in Update, exists and count Exists and
// Count, refresh_from_db Find. To follow a relation of many records, collect the keys and call FindMany once.
//
// # Consistency
//
// A record has the version that was read. Save, Delete, Erase and Restore change a row only in that version; else nothing
// changes and the error is tenancy.ErrStale, also if the row is gone: a Find tells which. So no write is lost, without a
// lock. Upsert, Update and DeleteBy are about rows, not about what was loaded, and ask for no version; they count it up.
// Times come from the database's clock, now(), which is the time of the transaction; values are read back in UTC.
//
// InsertAll and UpsertAll send arrays, because PostgreSQL refuses COPY under row-level security; they write all or nothing.
// A page is a place in a total order, not a number: what others insert or delete meanwhile neither repeats nor hides a
// record; one whose order values change can be seen twice or not at all.
//
// The in-memory kit of tenancytest answers everything here without SQL handlers. It evaluates conditions itself, as far as
// they are comparisons, arithmetic and the usual functions, and fails on the rest by saying so. It knows the constraints that
// Options and tags name, has no foreign keys and no triggers, and compares text byte by byte.
//
// # Tenancy
//
// The tenant is no field. The policy of the table is the floor; each statement also has the tenant as a predicate, from
// which the planner knows its share of the table. A unit under tenancy.System sees the rows of the tenant that its context
// names, or of all tenants if it names none; it can write rows of no tenant in neither case. Tenants may have records of the
// same key: give the tenant's column a field, as in TenantID string `db:"tenant_id,readonly"`, and for all tenants a record is
// that of its own tenant. Without the field, a write that meets records of several tenants fails and changes nothing.
// Cursors are sealed for one tenant, or for all.
//
// A table that all tenants share has Options.Tenant "-".
//
// # Errors
//
// tenancy.ErrNotFound, tenancy.ErrStale, ErrCursor, and *ConstraintError, which has the columns and matches ErrConflict,
// ErrReference, ErrCheck or ErrRequired; the error of PostgreSQL is behind it. A method that fails leaves its record as it
// was, and so does, for what saving made of it, a unit that is rolled back. Errors of SaveLater come from the unit; see Table.Explain. No error text has values of a record.
//
// # Concurrency
//
// A Table is safe for concurrent use and has no state but caches. A record belongs to its caller: no method keeps it.
package record
