package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// Once marks an event as handled by a consumer, inside the unit of work that has the effect, and tells whether it is the
// first time. If first is false, the effect is in the database already and the unit should do nothing. If a concurrent
// unit handles the same event, Once waits for its end. Marks belong to the tenant of the unit.
//
// Together with a sink that delivers at least once, this makes the effect in the database happen exactly once.
// eventID is the text of a UUID; consumer is a short constant name.
func Once(ctx context.Context, tx *tenancy.Tx, consumer, eventID string) (first bool, err error) {
	if consumer == "" || eventID == "" {
		return false, errors.New("outbox: Once needs a consumer and an event id")
	}
	tag, err := tx.Exec(ctx, sqltext.Once, consumer, eventID)
	if err != nil {
		return false, fmt.Errorf("outbox: once: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}
