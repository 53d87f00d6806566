package tenancytest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// resolved has the columns of registry.resolve.
type resolved struct {
	TenantID string    `db:"tenant_id"`
	Target   string    `db:"target"`
	Slug     string    `db:"slug"`
	Plan     string    `db:"plan"`
	State    string    `db:"state"`
	ReadOnly bool      `db:"read_only"`
	Reason   string    `db:"reason"`
	Now      time.Time `db:"now"`
}

// membership has the columns of registry.memberships.
type membership struct {
	TenantID string `db:"tenant_id"`
	Slug     string `db:"slug"`
	Name     string `db:"name"`
	State    string `db:"state"`
	Role     string `db:"role"`
}

// handleRegistry answers what package registry asks before a tenant is known. The rest of it runs on package record.
func (k *Kit) handleRegistry() {
	k.Handle(sqltext.Resolve, func(ctx context.Context, args ...any) (any, error) {
		tx := ctx.Value(memKey{}).(*memTx)
		list := []resolved{}
		for _, n := range k.allRows(tx, "registry.names") {
			if n.values["kind"] != args[0] || n.values["name"] != args[1] {
				continue
			}
			for _, t := range k.tenantRows(tx, n.tenant) {
				list = append(list, resolved{
					t.tenant, text(n, "target"), text(t, "slug"), text(t, "plan"), text(t, "state"),
					t.values["read_only"] == true, text(t, "reason"), time.Now().UTC(),
				})
			}
		}
		return list, nil
	})
	k.Handle(sqltext.Memberships, func(ctx context.Context, args ...any) (any, error) {
		tx := ctx.Value(memKey{}).(*memTx)
		list := []membership{}
		for _, m := range k.allRows(tx, "registry.members") {
			if m.values["user_id"] != args[0] {
				continue
			}
			for _, t := range k.tenantRows(tx, m.tenant) {
				list = append(list, membership{t.tenant, text(t, "slug"), text(t, "name"), text(t, "state"), text(m, "role")})
			}
		}
		slices.SortFunc(list, func(a, b membership) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.TenantID, b.TenantID))
		})
		return list, nil
	})
}

// allRows returns the rows of a table of all tenants, as a function of the system role sees them.
func (k *Kit) allRows(tx *memTx, table string) []*memRow {
	k.mu.Lock()
	t := k.rowTables[table]
	var cells []cell
	if t != nil {
		cells = slices.Clone(t.cells)
	}
	k.mu.Unlock()
	var list []*memRow
	for _, c := range cells {
		if v, ok := tx.read(c); ok {
			list = append(list, v.(*memRow))
		}
	}
	return list
}

func (k *Kit) tenantRows(tx *memTx, id string) []*memRow {
	return slices.DeleteFunc(k.allRows(tx, "registry.tenants"), func(t *memRow) bool { return t.tenant != id })
}

func text(r *memRow, column string) string {
	s, _ := r.values[column].(string)
	return s
}
