package guard_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/tenancy/guard"
)

// A readiness check that names what was accepted, and why.
func ExampleCheck() {
	ready := func(ctx context.Context, pool *pgxpool.Pool) error {
		return guard.Check(ctx, pool, &guard.Options{Allow: []guard.Exception{
			{Rule: "T18", Object: "public.countries", Reason: "the same for everybody"},
			{Rule: "T12", Object: "app.search_notes(query text, most integer)", Reason: "made by guard.SearchFunc"},
		}})
	}
	if err := ready(context.Background(), nil); err != nil {
		fmt.Println(err)
	}
	// Output: tenancy: New needs a pool or Options.Driver
}

// What a program prints before it refuses to serve.
func ExampleError() {
	var err error = &guard.Error{Findings: []guard.Finding{{
		Rule: "T02", Severity: guard.Breach, Object: "app.notes", Problem: "does not force row-level security on its owner",
		Fix: "alter table app.notes force row level security",
	}}}
	fmt.Println(errors.Is(err, guard.ErrUnguarded))
	fmt.Println(err)
	// Output:
	// true
	// tenancy/guard: the database does not keep tenants apart
	// T02 breach: app.notes does not force row-level security on its owner; mend it with: alter table app.notes force row level security
}

func ExamplePolicy() {
	sql, err := guard.Policy(guard.Table{Name: "app.notes", TenantColumn: "org", TenantType: "uuid"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sql)
	// Output:
	// alter table "app"."notes" enable row level security;
	// alter table "app"."notes" force row level security;
	// alter table "app"."notes" alter column "org" set default tenancy.row_tenant()::uuid;
	// alter table "app"."notes" alter column "org" set not null;
	// drop policy if exists tenancy_app on "app"."notes";
	// create policy tenancy_app on "app"."notes" to tenancy_app
	//     using ("org" = (select tenancy.tenant_id()::uuid))
	//     with check ("org" = (select tenancy.tenant_id()::uuid));
	// drop policy if exists tenancy_system on "app"."notes";
	// create policy tenancy_system on "app"."notes" to tenancy_system using (true) with check (true);
	// grant select, insert, update, delete on "app"."notes" to tenancy_app, tenancy_system;
}

// The SQL goes into a migration; programs then select from app.search_notes('web search', 20).
func ExampleSearchFunc() {
	_, err := guard.SearchFunc(guard.Search{Name: "app.search_notes", Table: guard.Table{Name: "app.notes"}, Vector: "words", Config: "english"})
	fmt.Println(err)
	_, err = guard.SearchFunc(guard.Search{Name: "app.search_notes", Table: guard.Table{Name: "app.notes"}})
	fmt.Println(err)
	// Output:
	// <nil>
	// tenancy/guard: "" is no name: one or two parts of 1 to 63 bytes without NUL and $
}
