package migrate_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

// database returns an empty database; a program has its own.
func database() *devstack.Database {
	all, err := devstack.TestDatabases()
	check(err)
	db, err := all.New(context.Background())
	check(err)
	return db
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

var quiet = slog.New(slog.DiscardHandler)

// In production appMigrations is an embed.FS of your *.sql files.
var appMigrations = fstest.MapFS{
	"0001_notes.sql": {Data: []byte(`
		create table notes (tenant_id text not null, id bigint generated always as identity, body text not null, primary key (tenant_id, id));
		select tenancy.protect('notes');`)},
}

// The tables of the library and of the program, and a check that no table was forgotten.
func ExampleUp() {
	ctx, db := context.Background(), database()
	defer db.Close()
	sources := []migrate.Source{{Name: "tenancy", FS: tenancy.Migrations}, {Name: "app", FS: appMigrations}}
	opts := &migrate.Options{Logger: quiet, After: func(ctx context.Context, _ *pgxpool.Pool) error {
		return guard.Check(ctx, db.App, nil)
	}}

	applied, err := migrate.Up(ctx, db.Owner, sources, opts)
	check(err)
	fmt.Println(applied[len(applied)-1].Name)
	applied, err = migrate.Up(ctx, db.Owner, sources, opts)
	fmt.Println(len(applied), err)
	// Output:
	// 0001_notes.sql
	// 0 <nil>
}

// A database that goose has migrated so far.
func ExampleSource_adopt() {
	ctx, db := context.Background(), database()
	defer db.Close()
	_, err := db.Owner.Exec(ctx, `create table notes (body text);
		create table goose_db_version (id int generated always as identity, version_id bigint, is_applied boolean);
		insert into goose_db_version (version_id, is_applied) values (0, true), (1, true)`)
	check(err)
	files := fstest.MapFS{
		"00001_notes.sql": {Data: []byte("-- +goose Up\ncreate table notes (body text);\n-- +goose Down\ndrop table notes;\n")},
		"00002_title.sql": {Data: []byte("-- +goose Up\nalter table notes add column title text;\n")},
	}
	applied, err := migrate.Up(ctx, db.Owner, []migrate.Source{{Name: "app", FS: files, Adopt: "goose_db_version"}}, &migrate.Options{Logger: quiet})
	check(err)
	for _, f := range applied {
		fmt.Println(f.Name, f.Adopted)
	}
	// Output:
	// 00001_notes.sql true
	// 00002_title.sql false
}

// What a deployment would do, before it does it.
func ExampleStatus() {
	ctx, db := context.Background(), database()
	defer db.Close()
	files := fstest.MapFS{"0001_a.sql": {Data: []byte("create table a (n int)")}}
	sources := []migrate.Source{{Name: "app", FS: files}}
	_, err := migrate.Up(ctx, db.Owner, sources, &migrate.Options{Logger: quiet})
	check(err)
	files["0002_b.sql"] = &fstest.MapFile{Data: []byte("alter table a add column m int;\nalter table b add column n int;")}

	list, err := migrate.Status(ctx, db.Owner, sources, nil)
	check(err)
	for _, f := range list {
		fmt.Println(f.Name, "pending:", f.At.IsZero())
	}
	_, err = migrate.Up(ctx, db.Owner, sources, &migrate.Options{DryRun: true})
	fmt.Println(err)
	// Output:
	// 0001_a.sql pending: false
	// 0002_b.sql pending: true
	// migrate: app/0002_b.sql: ERROR: relation "b" does not exist (SQLSTATE 42P01)
}

// Tenants with schemas of their own; one of them fails.
func ExampleUpTenants() {
	ctx, db := context.Background(), database()
	defer db.Close()
	targets := []migrate.Target{{Tenant: "acme", Schema: "t_acme"}, {Tenant: "globex", Schema: "t_globex"}}
	files := fstest.MapFS{"0001_notes.sql": {Data: []byte("create table notes (body text)")}}
	sources := []migrate.Source{{Name: "silo", FS: files}}
	_, err := migrate.UpTenants(ctx, db.Owner, targets, sources, &migrate.TenantsOptions{CreateSchemas: true})
	check(err)

	_, err = db.Owner.Exec(ctx, `insert into t_globex.notes values ('a'), ('a')`)
	check(err)
	files["0002_unique.sql"] = &fstest.MapFile{Data: []byte("create unique index notes_body on notes (body)")}
	results, err := migrate.UpTenants(ctx, db.Owner, targets, sources, &migrate.TenantsOptions{Workers: 8})
	fmt.Println(err)
	fmt.Println(results[0].Tenant, len(results[0].Files))
	status, err := migrate.TenantsStatus(ctx, db.Owner, targets, sources)
	check(err)
	fmt.Println(status[1].Tenant, "lacks", status[1].Pending[0].Name)
	// Output:
	// migrate: 1 of 2 tenants failed, the others are migrated; globex: migrate: silo/0002_unique.sql: ERROR: could not create unique index "notes_body" (SQLSTATE 23505)
	// acme 1
	// globex lacks 0002_unique.sql
}
