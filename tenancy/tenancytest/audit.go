package tenancytest

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// Audits returns the committed audit entries of all tenants in the order of their commits; on a server of their writing.
func (k *Kit) Audits() []tenancy.AuditEntry {
	if k.server != nil {
		return k.server.audits()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	list := []tenancy.AuditEntry{}
	for c, v := range k.cells {
		if e, ok := v.value.(tenancy.AuditEntry); ok && c.table == k.audits {
			e.Seq = v.order
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b tenancy.AuditEntry) int { return cmp.Compare(a.Seq, b.Seq) })
	return list
}

// handleAudit answers the statements of the audit log.
func (k *Kit) handleAudit() {
	k.audits = NewTable[string, tenancy.AuditEntry](k)
	k.Handle(sqltext.InsertAudit, func(ctx context.Context, args ...any) (any, error) {
		return nil, k.in(ctx, func(tx *memTx) error { return k.insertAudit(tx, args) })
	})
	k.Handle(sqltext.ListAudit, func(ctx context.Context, args ...any) (any, error) {
		tenant, subject, actor := args[0].(string), args[1].(string), args[2].(string)
		before, limit := args[3].(int64), args[4].(int)
		if tx := ctx.Value(memKey{}).(*memTx); !tx.system && tx.tenant != tenant {
			return []tenancy.AuditEntry{}, nil
		}
		list := []tenancy.AuditEntry{}
		for _, e := range slices.Backward(k.Audits()) {
			if e.TenantID == tenant && (subject == "" || e.Subject == subject) && (before == 0 || e.Seq < before) &&
				(actor == "" || e.Actor == actor || e.OnBehalfOf == actor) && len(list) < limit {
				list = append(list, e)
			}
		}
		return list, nil
	})
}

func (k *Kit) insertAudit(tx *memTx, args []any) error {
	tenant := args[0].(string)
	switch {
	case tx.readOnly:
		return pgError("25006", "cannot write in a read-only transaction")
	case !tx.system && tenant != tx.tenant:
		return pgError("42501", "new row violates row-level security policy for table audit")
	}
	by := struct {
		tenancy.Actor
		Reason string `json:"reason"`
	}{}
	if doc := args[1].(string); doc != "" {
		if err := json.Unmarshal([]byte(doc), &by); err != nil {
			return pgError("22P02", err.Error())
		}
	}
	ids, actions, subjects, changes := args[2].([]string), args[3].([]string), args[4].([]string), args[5].([]string)
	for i, id := range ids {
		e := tenancy.AuditEntry{
			ID: id, TenantID: tenant, At: time.Now().UTC(), Actor: by.ID, OnBehalfOf: by.OnBehalfOf, IP: by.IP,
			RequestID: by.RequestID, Reason: by.Reason, Role: "tenancytest", Action: actions[i], Subject: subjects[i],
		}
		if err := json.Unmarshal([]byte(changes[i]), &e.Changes); err != nil {
			return pgError("22P02", err.Error())
		}
		tx.add(write{cell{table: k.audits, tenant: tenant, key: id}, e, true})
	}
	return nil
}
