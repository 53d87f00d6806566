package registry

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// AuditQuery selects entries of the audit log. The zero value selects the newest 50.
type AuditQuery struct {
	Subject string // as in "member/ann"; empty means all
	Actor   string // who acted, or on whose behalf; empty means all
	Before  int64  // entries older than this AuditEntry.Seq, for the next page; zero means from the newest on
	Limit   int    // zero means 50; at most 1000
}

// AuditLog returns entries of the tenant of ctx, newest first: those of the registry and those that the program wrote with
// Tx.Audit. One round trip.
func (r *Registry) AuditLog(ctx context.Context, q AuditQuery) ([]tenancy.AuditEntry, error) {
	id, err := tenantOf(ctx)
	if err != nil {
		return nil, err
	}
	if q.Limit == 0 {
		q.Limit = 50
	}
	if q.Limit < 0 || q.Limit > 1000 || q.Before < 0 {
		return nil, fmt.Errorf("%w audit query: want a limit of 0 to 1000, and Before from an entry", ErrMalformed)
	}
	for _, filter := range []string{q.Subject, q.Actor} { // names of anything, so not bounded as those of the registry are
		if !utf8.ValidString(filter) || strings.ContainsRune(filter, 0) {
			return nil, fmt.Errorf("%w audit query: want a subject and an actor in UTF-8 without NUL", ErrMalformed)
		}
	}
	return tenancy.All[tenancy.AuditEntry](ctx, r.db, sqltext.ListAudit, id, q.Subject, q.Actor, q.Before, q.Limit)
}
