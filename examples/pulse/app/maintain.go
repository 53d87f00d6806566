package app

import (
	"context"
	"errors"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// Maintain makes room in the database: partitions of events and of the audit
// log come and go. It belongs to no team.
type Maintain struct{}

// Kind is the name of the job.
func (Maintain) Kind() string { return "pulse.maintain" }

func (a *App) maintain(ctx context.Context, _ Maintain) error {
	done, err := outbox.Maintain(ctx, a.DB, &outbox.MaintainOptions{Logger: a.Logger})
	if err == nil {
		a.Logger.InfoContext(ctx, "outbox maintained", "made", len(done.Made), "dropped", len(done.Dropped), "kept", len(done.Kept))
	}
	_, auditErr := tenancy.All[auditPartition](tenancy.System(ctx, "maintain the audit log"), a.DB,
		`select partition, done from tenancy.audit_partitions(keep => interval '2 years')`)
	return errors.Join(err, auditErr)
}

type auditPartition struct{ Partition, Done string }
