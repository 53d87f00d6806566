package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/tenancy"
)

// ErrPurgeIncomplete reports a purge that deleted what it could and yet cannot prove that nothing is left; the report that
// comes with it says where. The tenant stays in its state.
var ErrPurgeIncomplete error = &refusal{"registry: rows of the tenant may be left", http.StatusConflict, nil}

// PurgeOptions configures Purge. Nil and the zero value mean the defaults.
type PurgeOptions struct {
	// Chunk is the largest number of rows deleted in one transaction. Zero or negative means 1000.
	Chunk int

	// Grace is how long the tenant must have been in the state Deleting, or shut out where Moved is set. Zero means 30 days.
	// Negative means no time.
	Grace time.Duration

	// Moved deletes what a tenant has left behind that lives in another database now: its rows in the program's own tables and its
	// marks of outbox.Once. The tenant must have been shut out of this database (tenancy.DB.Restrict with NoAccess) for the grace
	// period, and the restriction has to stay until the purge is done; else it stops with ErrTransition. What else this package
	// and package tenancy keep of it is kept, its state too; the event is tenant.cleared. False means that the tenant is deleted.
	Moved bool

	// Ignore lists tables ("schema.table") with a tenant column that row-level security does not protect and that are known
	// to hold nothing of a tenant that must go. They are named in PurgeReport.Kept. Nil means none: each such table makes
	// the purge incomplete.
	Ignore []string
}

func (o *PurgeOptions) chunk() int {
	if o == nil || o.Chunk <= 0 {
		return 1000
	}
	return o.Chunk
}

func (o *PurgeOptions) moved() bool { return o != nil && o.Moved }

func (o *PurgeOptions) grace() time.Duration {
	if o == nil || o.Grace == 0 {
		return 30 * 24 * time.Hour
	}
	return max(o.Grace, 0)
}

// Purge deletes the rows of the tenant of ctx from every table that row-level security protects, found in the catalogue,
// partitions, outbox and inbox included, and leaves a report that proves it. The tenant must have been in the state Deleting
// for the grace period; until the purge has begun, SetState can call that off. Afterwards the tenant is
// Deleted: a tombstone of id and slugs.
//
// Rows go in bounded transactions, those first that refer to others. A purge that was interrupted, whenever and however, is
// continued by calling Purge again, and its report is the same as if it had not been. Several at a time do no harm.
//
// Kept are tombstone and audit log, which is append-only and leaves by the month. Tables with a tenant column that nothing
// protects, materialized views and foreign tables are findings: the rest is deleted, the report is returned together with
// ErrPurgeIncomplete, and the tenant stays in its state. After the purge the outbox holds its one event, "tenant.deleted".
//
// Of a tenant that has moved to another database, PurgeOptions.Moved deletes what it has left behind, and nothing else.
//
// Purge works on PostgreSQL only and needs Options.System of the DB; a reason is required.
// Errors: tenancy.ErrNoTenant, ErrUnknownTenant, ErrTransition, ErrPurgeIncomplete, those of PostgreSQL.
func (r *Registry) Purge(ctx context.Context, reason string, opts *PurgeOptions) (*PurgeReport, error) {
	id, ok := tenancy.IDFrom(ctx)
	if !ok {
		return nil, tenancy.ErrNoTenant
	}
	if reason == "" {
		return nil, fmt.Errorf("%w: Purge needs a reason", ErrMalformed)
	}
	ctx = tenancy.System(tenancy.WithID(ctx, id), "purge: "+reason)
	p := &purger{db: r.db, opts: opts}
	if err := p.start(ctx, id, reason); err != nil {
		return nil, fmt.Errorf("registry: purge: %w", err)
	}
	for range 3 { // a unit that was open all the time may have written behind the purge's back
		if err := p.deleteAll(ctx); err != nil {
			return nil, fmt.Errorf("registry: purge: %w", err)
		}
		err := r.db.Do(ctx, p.finish)
		switch {
		case err == nil:
			return p.report, nil
		case !errors.Is(err, ErrPurgeIncomplete):
			return nil, fmt.Errorf("registry: purge: %w", err)
		case len(p.report.Findings) > 0:
			return p.report, err
		}
	}
	return p.report, ErrPurgeIncomplete
}

// afterPurgeBegan translates the refusal of the trigger that keeps a tenant Deleting once rows are gone.
func afterPurgeBegan(err error) error {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok && answer.Code == "TN410" {
		return fmt.Errorf("%w: the purge of the tenant has begun", ErrTransition)
	}
	return err
}
