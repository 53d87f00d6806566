package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// Project returns a sink whose effects are in PostgreSQL: read models, counters, search tables. apply runs in one unit of
// work with the position, so each event takes effect exactly once, and events of one key in commit order. The name, which
// is the projection's for ever, keeps it apart from other projections; another name starts from the oldest event kept.
//
// The unit is one of System without a tenant and sees all of them: name the tenant of each event in the statements. If
// apply returns an error, nothing happened and the relay comes again. What apply does outside of the unit, such as calling
// a webhook, happens at least once.
//
// db is the relay's. Project does no I/O.
func Project(db *tenancy.DB, name string, apply func(ctx context.Context, tx *tenancy.Tx, events []Event) error) (Sink, error) {
	if db == nil || name == "" || apply == nil {
		return nil, errors.New("outbox: Project needs a DB, a name and a function")
	}
	return &projection{db: db, name: name, apply: apply}, nil
}

type projection struct {
	db    *tenancy.DB
	name  string
	apply func(context.Context, *tenancy.Tx, []Event) error
}

// Position implements Sink.
func (p *projection) Position(ctx context.Context) (string, error) {
	ctx = tenancy.System(ctx, "outbox projection "+p.name)
	position, err := tenancy.One[string](ctx, p.db, sqltext.ProjectionPosition, p.name)
	if errors.Is(err, tenancy.ErrNotFound) {
		return "", nil
	}
	return position, err
}

// Deliver implements Sink. The row of the position is its lock: a second relay waits and then finds it moved.
func (p *projection) Deliver(ctx context.Context, from, to string, events []Event) (moved bool, err error) {
	err = p.db.Do(tenancy.System(ctx, "outbox projection "+p.name), func(ctx context.Context, tx *tenancy.Tx) error {
		moved = false // of a repeated unit
		sql, args := sqltext.ProjectionMove, []any{p.name, from, to}
		if from == "" {
			sql, args = sqltext.ProjectionBegin, []any{p.name, to}
		}
		tag, err := tx.Exec(ctx, sql, args...)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if len(events) > 0 {
			if err := p.apply(ctx, tx, events); err != nil {
				return fmt.Errorf("outbox: projection %s: %w", p.name, err)
			}
		}
		moved = true
		return nil
	})
	return moved && err == nil, err
}
