package tenancy

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations is the schema "tenancy": roles, tenancy.tenant_id(), tenancy.protect(table), the outbox and the inbox.
// Run it as the owner of the database, before your own migrations, with tenancy/migrate or any other runner; a file is
// one transaction. Creating the roles tenancy_app and tenancy_system, if they are missing, needs CREATEROLE.
//
// A table of yours becomes tenant-safe by
//
//	create table notes (tenant_id text not null, id bigint generated always as identity, body text not null,
//	                    primary key (tenant_id, id));
//	select tenancy.protect('notes');
var Migrations = sub(migrations, "migrations")

func sub(fsys fs.FS, dir string) fs.FS {
	s, err := fs.Sub(fsys, dir)
	if err != nil {
		panic(err) // only for an invalid name
	}
	return s
}
