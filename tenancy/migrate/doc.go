// Package migrate applies SQL files to a PostgreSQL database, each exactly once, and to the schemas or databases of many
// tenants.
//
// Several sources (this library's blocks, your program) live in one database, each under its own name and numbering.
// A file is forward-only: to undo something, write the next file.
//
// # Usage
//
//	applied, err := migrate.Up(ctx, ownerPool, []migrate.Source{
//		{Name: "tenancy", FS: tenancy.Migrations},
//		{Name: "app", FS: appMigrations},
//	}, &migrate.Options{After: func(ctx context.Context, _ *pgxpool.Pool) error {
//		return guard.Check(ctx, appPool, nil) // no table of tenants without its policies
//	}})
//
// The files are the *.sql files at the root of the source, in lexical order; 0001_name.sql is the habit. They are plain
// SQL: any other runner, or psql, may execute them instead. A file is sent as one text, so it may hold many statements.
// Status tells what is pending; Options.DryRun tries it and rolls back.
//
// A source may instead hold the files of goose (the part behind -- +goose Up is run, StatementBegin and NO TRANSACTION
// mean what they mean there; ENVSUB ON and migrations in Go are refused) or of golang-migrate (NNN_name.up.sql; a BEGIN and
// COMMIT around the whole file are taken out). Both are ordered by number. A database that such a tool has migrated
// already is taken over with Source.Adopt, without running anything again; after that the tool must not be used any more.
//
// # Consistency
//
// A file and the note that it was applied are one transaction. A file whose first line is the comment "-- no-transaction"
// (for CREATE INDEX CONCURRENTLY and the like) runs statement by statement outside of a transaction, as in psql, and may be
// run again after a crash, so write it with IF NOT EXISTS; an index that a failed CREATE INDEX CONCURRENTLY has left invalid
// is an error until it is dropped. Concurrent calls wait for each other; the lock of a process that
// died ends with its session, which the server notices within a minute even if the network is gone.
// What was applied must not change afterwards: Up compares checksums first and applies nothing after a *DriftError.
// Of a goose file, the down part may. A file that joins the source late is applied, whatever has been applied behind it.
//
// # Tenancy
//
// Use a pool of the owner of the database, connected directly or through a pooler in session mode, because the lock
// belongs to the session. Under FORCE ROW LEVEL SECURITY the owner sees no rows of protected tables, and UPDATE silently
// finds none: Up logs a warning with the line of a statement that changed nothing while such tables hold rows. A data step
// belongs into a file that says SET LOCAL ROLE tenancy_system, a role which then must have been granted to the owner.
//
// Tenants with a schema or a database of their own are migrated by UpTenants: one transaction per tenant, several tenants
// at a time, one central ledger (ashlar.tenant_migrations) that TenantsStatus, or SQL, asks who is behind and why.
//
// # Errors
//
// *FormatError, *DriftError, ErrNotAdopted and ErrDirty before anything is applied; *TenantsError; errors of PostgreSQL with
// the file's name and, where PostgreSQL knows it, its line (errors.As to *pgconn.PgError); those of the source's FS.
//
// # Concurrency
//
// All functions may be called from several processes at once.
package migrate
