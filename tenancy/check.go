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

// Check reports whether the roles of the pools are bound by row-level security, for readiness checks and the start of a
// program. The error wraps ErrUnsafeRole if one is a superuser, has BYPASSRLS, owns a protected table or is no member of
// tenancy_app (the system pool: tenancy_system). One statement per pool; a driver other than PostgreSQL passes.
func (db *DB) Check(ctx context.Context) error {
	d, ok := db.core.driver.(*pgDriver)
	if !ok {
		return nil
	}
	if err := checkRole(ctx, d.app, "tenancy_app"); err != nil || d.system == nil {
		return err
	}
	return checkRole(ctx, d.system, "tenancy_system")
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
