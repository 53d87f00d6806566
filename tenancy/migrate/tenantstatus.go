package migrate

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// TenantStatus is how far a tenant is, as the central ledger has it.
type TenantStatus struct {
	Tenant  string
	Pending []File // what UpTenants would apply
	Drift   error  // a *DriftError, or nil
	Failure string // the error of its last UpTenants; empty after a success
}

// TenantsStatus returns how far each target is, without visiting any: one query for what was applied, one for failures.
func TenantsStatus(ctx context.Context, pool *pgxpool.Pool, targets []Target, sources []Source) ([]TenantStatus, error) {
	r, err := plan(ctx, pool, targets, sources, &TenantsOptions{DryRun: true})
	if err != nil {
		return nil, err
	}
	failures := map[string]string{}
	var exists bool
	if err := pool.QueryRow(ctx, `select to_regclass('ashlar.tenant_failures') is not null`).Scan(&exists); err != nil {
		return nil, fmt.Errorf("migrate: look for the ledger of tenants: %w", err)
	}
	if exists {
		rows, err := pool.Query(ctx, `select tenant, error from ashlar.tenant_failures`)
		if err != nil {
			return nil, fmt.Errorf("migrate: read failures: %w", err)
		}
		var tenant, text string
		if _, err := pgx.ForEachRow(rows, []any{&tenant, &text}, func() error { failures[tenant] = text; return nil }); err != nil {
			return nil, fmt.Errorf("migrate: read failures: %w", err)
		}
	}
	list := make([]TenantStatus, len(targets))
	for i, one := range r.results {
		list[i] = TenantStatus{Tenant: one.Tenant, Pending: one.Files, Drift: one.Err, Failure: failures[one.Tenant]}
	}
	return list, nil
}
