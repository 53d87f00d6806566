package tenancytest

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlexpr"
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

// configured has the columns of what registry.Config asks for.
type configured struct {
	ID        string
	Slug      string
	Name      string
	Plan      string
	State     string
	ReadOnly  bool `db:"read_only"`
	Reason    string
	StateBy   string    `db:"state_by"`
	StateAt   time.Time `db:"state_at"`
	Owners    int64
	Version   int64
	CreatedAt time.Time `db:"created_at"`
	UpdatedAt time.Time `db:"updated_at"`
	Own       string
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
	k.Handle(sqltext.Config, func(ctx context.Context, args ...any) (any, error) {
		tx := ctx.Value(memKey{}).(*memTx)
		list := []configured{}
		if id := args[0].(string); tx.system || tx.tenant == id { // as row-level security does
			for _, t := range k.tenantRows(tx, id) {
				own, err := k.settings(tx, id)
				if err != nil {
					return nil, err
				}
				list = append(list, configured{
					text(t, "id"), text(t, "slug"), text(t, "name"), text(t, "plan"), text(t, "state"), t.values["read_only"] == true,
					text(t, "reason"), text(t, "state_by"), t.values["state_at"].(time.Time), t.values["owners"].(int64),
					t.values["version"].(int64), t.values["created_at"].(time.Time), t.values["updated_at"].(time.Time), own,
				})
			}
		}
		return list, nil
	})
}

// settings returns the settings of a tenant as a JSON object.
func (k *Kit) settings(tx *memTx, id string) (string, error) {
	own := map[string]json.RawMessage{}
	for _, s := range k.allRows(tx, "registry.settings") {
		if value, ok := s.values["value"].(sqlexpr.JSON); ok && s.tenant == id {
			own[text(s, "name")] = json.RawMessage(value)
		}
	}
	body, err := json.Marshal(own)
	return string(body), err
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
