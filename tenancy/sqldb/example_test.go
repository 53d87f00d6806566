package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/sqldb"
)

// database returns a database with the table notes; a program has its own.
func database() *devstack.Database {
	all, err := devstack.TestDatabases()
	check(err)
	db, err := all.New(context.Background(), tenancy.Migrations, fstest.MapFS{"1.sql": {Data: []byte(notesSQL)}})
	check(err)
	return db
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// The tenant of the context decides what a statement sees.
func ExampleOpen() {
	pg := database()
	defer pg.Close()
	db, err := tenancy.New(pg.App, nil)
	check(err)
	std := sqldb.Open(db, nil) // for gorm, bun, ent or your own SQL

	acme := tenancy.WithID(context.Background(), "acme")
	_, err = std.ExecContext(acme, `insert into notes (body) values ($1)`, "hi")
	check(err)
	for _, tenant := range []string{"acme", "globex"} {
		var n int
		err = std.QueryRowContext(tenancy.WithID(context.Background(), tenant), `select count(*) from notes`).Scan(&n)
		fmt.Println(tenant, n, err)
	}
	_, err = std.Exec(`delete from notes`)
	fmt.Println(err)
	// Output:
	// acme 1 <nil>
	// globex 0 <nil>
	// tenancy: no tenant in context; set one with WithID, or use System with a reason
}

// A transaction belongs to the tenant of BeginTx.
func ExampleOpen_transaction() {
	pg := database()
	defer pg.Close()
	db, err := tenancy.New(pg.App, nil)
	check(err)
	std := sqldb.Open(db, nil)

	acme := tenancy.WithID(context.Background(), "acme")
	tx, err := std.BeginTx(acme, &sql.TxOptions{Isolation: sql.LevelSerializable})
	check(err)
	_, err = tx.ExecContext(acme, `insert into notes (body) values ('hi')`)
	check(err)
	_, err = tx.ExecContext(tenancy.WithID(acme, "globex"), `delete from notes`)
	fmt.Println(err)
	fmt.Println(tx.Commit())
	// Output:
	// tenancy: context and open unit of work belong to different tenants, roles or databases
	// <nil>
}

// Code on database/sql and a unit of work in one transaction, with an event that exists if and only if both do.
func ExampleOpen_unit() {
	pg := database()
	defer pg.Close()
	db, err := tenancy.New(pg.App, nil)
	check(err)
	std := sqldb.Open(db, nil)

	acme := tenancy.WithID(context.Background(), "acme")
	err = db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := std.ExecContext(ctx, `insert into notes (body) values ('hi')`); err != nil {
			return err
		}
		return tenancy.Emit(ctx, "note.added", "", []byte(`{"body":"hi"}`))
	})
	check(err)
	events, err := tenancy.One[int](tenancy.System(acme, "count"), must(tenancy.New(pg.App, &tenancy.Options{System: pg.System})), `select count(*) from tenancy.outbox`)
	fmt.Println(events, err)
	// Output: 1 <nil>
}

func must[T any](v T, err error) T {
	check(err)
	return v
}
