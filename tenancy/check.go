package tenancy

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed check.sql
var checkSQL string

// Check reports whether the roles of the pools are bound by row-level security and the database verifies Options.Seal, for
// readiness checks and the start of a program. The error wraps ErrUnsafeRole if a role is a superuser, has BYPASSRLS, owns
// a protected table or is no member of tenancy_app (the system pool: tenancy_system), and ErrUnsealed if Options.Seal is
// set and the database has no key at all; a seal that the database refuses is an error of PostgreSQL (42501).
// Two round trips per pool; a driver other than PostgreSQL passes.
func (db *DB) Check(ctx context.Context) error {
	d, ok := db.core.driver.(*pgDriver)
	if !ok {
		return nil
	}
	for _, c := range []struct {
		pool  *pgxpool.Pool
		group string
	}{{d.app, "tenancy_app"}, {d.system, "tenancy_system"}} {
		if c.pool == nil {
			continue
		}
		if err := checkRole(ctx, c.pool, c.group); err != nil {
			return err
		}
		state, err := d.seal.checkOn(ctx, c.pool)
		if err != nil {
			return err
		}
		if state == "optional" {
			db.core.opts.logger().WarnContext(ctx, "tenancy: the database still takes unsealed tenants; run InstallSeal without Optional")
		}
	}
	return nil
}

func checkRole(ctx context.Context, pool *pgxpool.Pool, group string) error {
	var role string
	var reasons []string
	if err := pool.QueryRow(ctx, checkSQL, group).Scan(&role, &reasons); err != nil {
		return fmt.Errorf("tenancy: check the role: %w", err)
	}
	if len(reasons) > 0 {
		return fmt.Errorf("%w: %s %s", ErrUnsafeRole, role, strings.Join(reasons, ", "))
	}
	return nil
}
