// Package migrate applies SQL files to a PostgreSQL database, each exactly once.
//
// Several sources (this library's blocks, your program) live in one database, each under its own name and numbering.
// A file is forward-only: to undo something, write the next file.
//
// # Usage
//
//	applied, err := migrate.Up(ctx, ownerPool, []migrate.Source{
//		{Name: "tenancy", FS: tenancy.Migrations},
//		{Name: "app", FS: appMigrations},
//	}, nil)
//
// The files are the *.sql files at the root of the source, in lexical order; 0001_name.sql is the habit. They are plain
// SQL: any other runner, or psql, may execute them instead. A file is sent as one text, so it may hold many statements.
//
// # Consistency
//
// A file and the note that it was applied are one transaction. A file whose first line is the comment "-- no-transaction"
// (for CREATE INDEX CONCURRENTLY and the like) holds one statement, runs outside of a transaction, and may be run again
// after a crash, so write it with IF NOT EXISTS. Concurrent calls wait for each other. What was applied must not change
// afterwards: Up compares checksums first and applies nothing after a *DriftError.
//
// # Tenancy
//
// Use a pool of the owner of the database, connected directly or through a pooler in session mode, because the lock
// belongs to the session. Under FORCE ROW LEVEL SECURITY the owner sees no rows of protected tables; a data step belongs
// into a file that says SET LOCAL ROLE tenancy_system.
//
// # Errors
//
// *DriftError, errors of PostgreSQL with the file's name (errors.As to *pgconn.PgError), and those of the source's FS.
//
// # Concurrency
//
// All functions may be called from several processes at once.
package migrate
