package tenancy

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed check.sql
var checkSQL string

// Check reports whether the roles of the pools are bound by row-level security and the database verifies Options.Seal, for
// readiness checks and the start of a program. The error wraps ErrUnsafeRole if a role is a superuser, has BYPASSRLS, owns
// a protected table or is no member of tenancy_app (the system pool: tenancy_system), or if the app's pool can become such a
// role, or tenancy_system, through what it logged in as or is a member of. It wraps ErrUnsealed if Options.Seal is set and the database
// has no key at all; a seal that the database refuses is an error of PostgreSQL (42501).
//
// The pools of Options.Replicas are held to the same as the app's; one that cannot be reached is only logged, because the
// primary serves its reads. Two round trips per pool, one per replica; on a handle made by At, the pools of that database.
// A driver other than PostgreSQL passes.
func (db *DB) Check(ctx context.Context) error {
	d, ok := db.core.driver.(*pgDriver)
	if !ok {
		return nil
	}
	for _, system := range []bool{false, true} {
		if system && d.system == nil {
			continue
		}
		if err := db.checkAs(ctx, d, system); err != nil {
			return err
		}
	}
	if db.at != nil && db.at.Database != "" {
		return nil // which has no replicas
	}
	return db.checkReplicas(ctx, d.replicas)
}

func (db *DB) checkReplicas(ctx context.Context, list []*replica) error {
	for _, r := range list {
		within, cancel := context.WithTimeout(ctx, replicaWait)
		conn, err := r.pool.Acquire(within)
		cancel()
		if err == nil {
			err = checkRole(ctx, conn, "tenancy_app")
			conn.Release()
		}
		if errors.Is(err, ErrUnsafeRole) {
			return fmt.Errorf("a replica's pool: %w", err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("tenancy: check: %w", context.Cause(ctx))
		}
		if err != nil {
			db.core.opts.logger().WarnContext(ctx, "tenancy: replica not checked", "error", err)
		}
	}
	return nil
}

func (db *DB) checkAs(ctx context.Context, d *pgDriver, system bool) error {
	t := Target{System: system}
	if db.at != nil {
		t.Place = *db.at
	}
	session, err := d.acquire(ctx, t)
	if err != nil {
		return fmt.Errorf("tenancy: check: %w", err)
	}
	defer session.Release(context.WithoutCancel(ctx))
	group := "tenancy_app"
	if system {
		group = "tenancy_system"
	}
	if err := checkRole(ctx, session.conn, group); err != nil {
		return err
	}
	state, err := d.seal.checkOn(ctx, session.conn)
	if state == "optional" {
		db.core.opts.logger().WarnContext(ctx, "tenancy: the database still takes unsealed tenants; run InstallSeal without Optional")
	}
	return err
}

func checkRole(ctx context.Context, conn *pgxpool.Conn, group string) error {
	var role string
	var reasons []string
	if err := conn.QueryRow(ctx, checkSQL, group).Scan(&role, &reasons); err != nil {
		return fmt.Errorf("tenancy: check the role: %w", err)
	}
	if len(reasons) > 0 {
		return fmt.Errorf("%w: %s %s", ErrUnsafeRole, role, strings.Join(reasons, ", "))
	}
	return nil
}
