package tenancy_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

type Note struct {
	ID   int64
	Body string
}

type NoteAdded struct{ Body string }

func (NoteAdded) EventType() string { return "note.added" }

// notesKit answers the SQL of the examples without a PostgreSQL.
func notesKit() *tenancytest.Kit {
	kit := tenancytest.NewKit()
	notes := tenancytest.NewTable[int64, Note](kit)
	kit.Handle(`insert into notes(body) values($1)`, func(ctx context.Context, args ...any) (any, error) {
		all, err := notes.All(ctx)
		if err != nil {
			return nil, err
		}
		id := int64(len(all) + 1)
		return tenancytest.Affected(1), notes.Put(ctx, id, Note{id, args[0].(string)})
	})
	kit.Handle(`select id, body from notes`, func(ctx context.Context, _ ...any) (any, error) { return notes.All(ctx) })
	return kit
}

// The whole package in ten lines. In production the first line is tenancy.New(pool, nil).
func Example() {
	kit := notesKit()
	db, err := tenancy.New(nil, &tenancy.Options{Driver: kit})
	check(err)
	ctx := tenancy.WithID(context.Background(), "acme")

	err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Emit(NoteAdded{Body: "hi"}) // exists iff the transaction commits
		_, err := tx.Exec(ctx, `insert into notes(body) values($1)`, "hi")
		return err
	})
	check(err)
	notes, err := tenancy.All[Note](ctx, db, `select id, body from notes`) // one round trip
	check(err)

	fmt.Println(notes, tenancytest.Emitted[NoteAdded](kit))
	others, err := tenancy.All[Note](tenancy.WithID(ctx, "globex"), db, `select id, body from notes`)
	fmt.Println(others, err)
	// Output:
	// [{1 hi}] [{hi}]
	// [] <nil>
}

// Do inside Do is a savepoint: its error undoes only what it did.
func ExampleDB_Do_nested() {
	db := notesKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	add := func(ctx context.Context, body string) error {
		return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			if _, err := tx.Exec(ctx, `insert into notes(body) values($1)`, body); err != nil {
				return err
			}
			if body == "" {
				return errors.New("empty note")
			}
			return nil
		})
	}
	err := db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error {
		fmt.Println(add(ctx, ""))
		return add(ctx, "kept")
	})
	check(err)
	fmt.Println(tenancy.All[Note](ctx, db, `select id, body from notes`))
	// Output:
	// empty note
	// [{1 kept}] <nil>
}

// Options belong to a handle, so that every function that takes a DB, or its InTx method, can be given one.
func ExampleDB_With() {
	db := notesKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	strict := db.With(&tenancy.TxOptions{Isolation: pgx.Serializable})
	err := strict.InTx(ctx, func(ctx context.Context) error {
		tx, _ := tenancy.Pgx(ctx)
		_, err := tx.Exec(ctx, `insert into notes(body) values($1)`, "hi")
		return err
	})
	fmt.Println(err)
	// Output: <nil>
}

// Deferred statements and events leave together with COMMIT: this unit is one round trip.
func ExampleTx_Defer() {
	kit := notesKit()
	ctx := tenancy.WithID(context.Background(), "acme")
	err := kit.DB().Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(`insert into notes(body) values($1)`, "one")
		tx.Defer(`insert into notes(body) values($1)`, "two")
		tx.Emit(NoteAdded{"one"}, NoteAdded{"two"})
		return nil
	})
	check(err)
	fmt.Println(kit.RoundTrips(), len(kit.Events()))
	// Output: 1 2
}

// A hook belongs to the unit that is open when it is bound.
func ExampleHooks() {
	db := notesKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	err := db.InTx(ctx, func(ctx context.Context) error {
		tenancy.Hooks{}.OnCommit(ctx, func(context.Context) { fmt.Println("drop the cache") })
		tenancy.Hooks{}.OnRollback(ctx, func(context.Context) { fmt.Println("delete the upload") })
		return errors.New("no")
	})
	fmt.Println(err)
	// Output:
	// delete the upload
	// no
}

// The system role sees all tenants; it needs Options.System and a reason.
func ExampleSystem() {
	db := notesKit().DB()
	for _, id := range []string{"acme", "globex"} {
		err := db.Do(tenancy.WithID(context.Background(), id), func(_ context.Context, tx *tenancy.Tx) error {
			tx.Defer(`insert into notes(body) values($1)`, "of "+id)
			return nil
		})
		check(err)
	}
	ctx := tenancy.System(context.Background(), "monthly report")
	notes, err := tenancy.All[Note](ctx, db, `select id, body from notes`)
	fmt.Println(len(notes), err)

	_, err = tenancy.All[Note](context.Background(), db, `select id, body from notes`)
	fmt.Println(errors.Is(err, tenancy.ErrNoTenant))
	// Output:
	// 2 <nil>
	// true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// An audit entry rides with COMMIT and keeps the changed fields only.
func ExampleTx_Audit() {
	kit := tenancytest.NewKit()
	ctx := tenancy.WithID(context.Background(), "acme")
	ctx = tenancy.WithActor(ctx, tenancy.Actor{ID: "ann", IP: "192.0.2.7"})

	before, after := Note{1, "hi"}, Note{1, "hello"}
	err := kit.DB().Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Audit(tenancy.Audit{Action: "note.changed", Subject: "note/1", Before: before, After: after})
		return nil
	})
	check(err)

	for _, e := range kit.Audits() {
		fmt.Printf("%s %s %s\n", e.Actor, e.Action, e.Changes["Body"].New)
	}
	// Output: ann note.changed "hello"
}

// A write with a version in its WHERE changes one row or fails the unit: somebody else was faster.
func ExampleTx_DeferExpect() {
	kit := tenancytest.NewKit()
	title := map[int]string{} // one row, with its version
	kit.Handle(`update pages set title = $1, version = version + 1 where id = 7 and version = $2`, func(_ context.Context, args ...any) (any, error) {
		version := args[1].(int)
		if version != len(title) {
			return tenancytest.Affected(0), nil
		}
		title[version] = args[0].(string)
		return tenancytest.Affected(1), nil
	})
	ctx := tenancy.WithID(context.Background(), "acme")
	rename := func(to string, version int) error {
		return kit.DB().Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
			tx.DeferExpect(1, "page", `update pages set title = $1, version = version + 1 where id = 7 and version = $2`, to, version)
			return nil
		})
	}
	fmt.Println(rename("Home", 0))
	fmt.Println(errors.Is(rename("Start", 0), tenancy.ErrStale))
	// Output:
	// <nil>
	// true
}

// A lock of the tenant for what no row stands for. It travels with the next statement.
func ExampleTx_Lock() {
	db := notesKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Lock("invoice-number") // others of this tenant wait here until the unit ends
		all, err := tenancy.All[Note](ctx, tx, `select id, body from notes`)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into notes(body) values($1)`, fmt.Sprintf("invoice %d", len(all)+1))
		return err
	})
	check(err)
	fmt.Println(tenancy.All[Note](ctx, db, `select id, body from notes`))
	// Output: [{1 invoice 1}] <nil>
}

// Read your own writes on a replica: the position of the commit travels to the next request, in a cookie for example.
func ExampleTxOptions_replica() {
	db := notesKit().DB() // with tenancy.Options{Replicas: …} in production
	ctx := tenancy.WithID(context.Background(), "acme")
	var at tenancy.LSN
	err := db.With(&tenancy.TxOptions{CommitLSN: &at}).Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `insert into notes(body) values($1)`, "hi")
		return err
	})
	check(err)
	token := at.String()

	after, err := tenancy.ParseLSN(token)
	check(err)
	fmt.Println(tenancy.All[Note](ctx, db.With(&tenancy.TxOptions{Replica: true, After: after}), `select id, body from notes`))
	// Output: [{1 hi}] <nil>
}
