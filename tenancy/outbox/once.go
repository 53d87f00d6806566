package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// Once marks an id as handled by a consumer, inside the unit of work that has the effect, and tells whether it is the
// first time. If first is false, the effect is in the database already and the unit should do nothing. If a concurrent
// unit handles the same id, Once waits for its end. Marks belong to the tenant of the unit.
//
// Together with a sink or a queue that delivers at least once, this makes the effect in the database happen exactly once.
// The id is that of an event, of a job (jobs.Info.ID), or any other text that is the same each time and not empty; the
// spellings that PostgreSQL knows of a UUID are one id. consumer is a short constant name.
func Once(ctx context.Context, tx *tenancy.Tx, consumer, id string) (first bool, err error) {
	if consumer == "" || id == "" {
		return false, errors.New("outbox: Once needs a consumer and an id")
	}
	tag, err := tx.Exec(ctx, sqltext.Once, consumer, mark(id))
	if err != nil {
		return false, fmt.Errorf("outbox: once: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}
