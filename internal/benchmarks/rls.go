package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

// rlsTenants share a million rows, one of each after the other.
const rlsTenants = 1000

//go:embed rls.sql
var rlsSQL string

// benchRLS compares what the policy adds with the predicate that it replaces,
// on one table and in the same unit, a batch that sets the tenant and asks:
// ours runs as the app role, theirs as the system role, which the policies let
// through, with an explicit WHERE. Theirs is no tenancy.System, which would
// send a reason too, and seals nothing, as who writes a WHERE would not.
func benchRLS(ctx context.Context, l *lab) error {
	on, err := l.rlsDatabase(ctx)
	if err != nil {
		return err
	}
	app, err1 := pgxpool.New(ctx, on.AppURL)
	system, err2 := pgxpool.New(ctx, on.SystemURL)
	owner, err3 := pgxpool.New(ctx, on.OwnerURL)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	defer app.Close()
	defer system.Close()
	defer owner.Close()
	if err := l.rlsPair(ctx, app, system, nil, "tenancy.rls_unsealed_latency_vs_where", "tenancy.rls_unsealed_point_cost_us"); err != nil {
		return err
	}
	seal, err := tenancy.NewSeal("bench", []byte("a secret that is long enough for a seal"))
	if err != nil {
		return err
	}
	if err := tenancy.InstallSeal(ctx, owner, seal, nil); err != nil {
		return err
	}
	if err := l.rlsPair(ctx, app, system, seal, "tenancy.rls_latency_vs_where", "tenancy.rls_point_cost_us"); err != nil {
		return err
	}
	return l.guardCost(ctx, app, owner)
}

// rlsDatabase is one of its own, because a seal is required for the whole of it.
func (l *lab) rlsDatabase(ctx context.Context) (*devstack.PostgresServer, error) {
	admin, err := pgx.Connect(ctx, l.pg.AdminURL)
	if err != nil {
		return nil, err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, `create database rls owner ashlar_owner`); err != nil {
		return nil, err
	}
	on := l.pg.On("rls")
	owner, err := pgxpool.New(ctx, on.OwnerURL)
	if err != nil {
		return nil, err
	}
	defer owner.Close()
	if _, err := migrate.Up(ctx, owner, []migrate.Source{{Name: "tenancy", FS: tenancy.Migrations}}, nil); err != nil {
		return nil, err
	}
	for _, sql := range []string{rlsSQL, `vacuum analyze bench.events`} {
		if _, err := owner.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return nil, fmt.Errorf("a million rows: %w", err)
		}
	}
	return on, nil
}

func (l *lab) rlsPair(ctx context.Context, app, system *pgxpool.Pool, seal *tenancy.Seal, ranges, points string) error {
	db, err1 := tenancy.New(app, &tenancy.Options{Seal: seal})
	where, err2 := tenancy.New(system, nil)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	tenant := func(ctx context.Context, i int) (context.Context, string) {
		id := fmt.Sprint("tenant", i*7%rlsTenants)
		return tenancy.WithID(ctx, id), id
	}
	err := l.pairs(ctx, ranges, "x", 500,
		func(ctx context.Context, i int) error {
			ctx, _ = tenant(ctx, i)
			return expectSum(tenancy.One[int64](ctx, db, `select sum(n) from bench.events`))
		},
		func(ctx context.Context, i int) error {
			ctx, id := tenant(ctx, i)
			return expectSum(tenancy.One[int64](ctx, where, `select sum(n) from bench.events where tenant_id = $1`, id))
		},
		func(ours, theirs float64) float64 { return ours / theirs })
	if err != nil {
		return err
	}
	return l.pairs(ctx, points, "µs", 5000,
		func(ctx context.Context, i int) error {
			ctx, _ = tenant(ctx, i)
			_, err := tenancy.One[int](ctx, db, `select n from bench.events where id = $1`, i%1000)
			return err
		},
		func(ctx context.Context, i int) error {
			ctx, id := tenant(ctx, i)
			_, err := tenancy.One[int](ctx, where, `select n from bench.events where tenant_id = $1 and id = $2`, id, i%1000)
			return err
		},
		func(ours, theirs float64) float64 { return (ours - theirs) * 1e6 })
}

// expectSum refuses a side that is fast because it sees nothing: each tenant has the rows 0 to 999, all with n = 1.
func expectSum(sum int64, err error) error {
	if err == nil && sum != 1000 {
		err = fmt.Errorf("a tenant sees %d rows, want 1000", sum)
	}
	return err
}

// guardCost is the time of an audit of 500 tables.
func (l *lab) guardCost(ctx context.Context, app, owner *pgxpool.Pool) error {
	_, err := owner.Exec(ctx, `do $$ begin for n in 1..500 loop
		execute format('create table bench.t%s (tenant_id text not null, id bigint, body text, primary key (tenant_id, id))', n);
		perform tenancy.protect(format('bench.t%s', n)::regclass); end loop; end $$`)
	if err != nil {
		return err
	}
	return l.reading(ctx, "tenancy.guard_500_tables_ms", "ms", func(ctx context.Context) (float64, error) {
		start := time.Now()
		found, err := guard.Audit(ctx, app, nil)
		found = slices.DeleteFunc(found, func(f guard.Finding) bool { return f.Severity == guard.Advice })
		if err == nil && len(found) > 0 {
			err = fmt.Errorf("an audit of sound tables found %v", found)
		}
		return time.Since(start).Seconds() * 1000, err
	})
}
