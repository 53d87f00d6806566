package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// The secret is 32 random bytes from wherever the program keeps its secrets. A seal prints as its key id.
func ExampleNewSeal() {
	secret := []byte(strings.Repeat("not so random...", 2))
	seal, err := tenancy.NewSeal("2026-11", secret)
	check(err)
	fmt.Println(seal)
	// The owner runs tenancy.InstallSeal(ctx, ownerPool, seal, nil) once; programs set Options.Seal.
	_, err = tenancy.NewSeal("2026-11", secret[:16])
	fmt.Println(err)
	// Output:
	// seal 2026-11
	// tenancy: the secret of a seal has 16 bytes, want at least 32 random ones
}

// Most tenants share tables, one has a schema and one a database of its own.
func ExamplePlacement() {
	db, err := tenancy.New(nil, &tenancy.Options{
		Place: func(_ context.Context, tenant string) (tenancy.Placement, error) {
			fmt.Println("where is", tenant)
			switch tenant {
			case "globex":
				return tenancy.Placement{Schema: "globex"}, nil
			case "umbrella":
				return tenancy.Placement{Database: "eu-1"}, nil
			}
			return tenancy.Placement{}, nil
		},
		Databases: func(_ context.Context, name string, system bool) (*pgxpool.Config, error) {
			user := "app"
			if system {
				user = "system"
			}
			return pgxpool.ParseConfig("postgres://" + user + "@" + name + ".internal/app")
		},
		MaxConns: 100,                  // of all such databases together
		Driver:   tenancytest.NewKit(), // in memory, where all places are one
	})
	check(err)
	defer db.Close()
	for _, tenant := range []string{"acme", "globex", "umbrella"} {
		err := db.Do(tenancy.WithID(context.Background(), tenant), func(context.Context, *tenancy.Tx) error { return nil })
		check(err)
	}
	// A relay for the events of eu-1: outbox.New(db.At("eu-1"), sink, nil)
	// Output:
	// where is acme
	// where is globex
	// where is umbrella
}

// A tenant that is being moved to another database must not be written to in this one. It needs PostgreSQL, so it is compiled
// and not run.
func ExampleDB_Restrict() {
	var db *tenancy.DB // made by New, with Options.Place and Options.System
	ctx := tenancy.WithID(context.Background(), "t-1")
	check(db.At("").Restrict(ctx, tenancy.ReadOnly)) // nobody writes any more, from here on
	err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `insert into notes (body) values ($1)`, "too late")
		return err
	})
	fmt.Println(errors.Is(err, tenancy.ErrReadOnly))
	check(db.At("").Restrict(ctx, tenancy.NoAccess)) // the tenant lives elsewhere: ErrMoved
}
