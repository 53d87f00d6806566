package outbox

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrLogChanged reports that the position of a sink belongs to another log than the database holds: a dump was restored,
// the database was set back in time, or a promoted replica lacks what the sink has; or that a Rebase of the sink has stopped
// half-way. Relay.Run ends with it, because to go on would lose events or deliver them twice. Make sure that nothing feeds
// the sink from the old database any more, then call Rebase and start the relays again.
var ErrLogChanged = errors.New("outbox: the sink's position belongs to another log; after a restore or a lossy failover call outbox.Rebase")

func logChanged(format string, args ...any) error {
	return fmt.Errorf("%w (%s)", ErrLogChanged, fmt.Sprintf(format, args...))
}

// lockNotAvailable tells whether a statement waited for a lock as long as lock_timeout lets it.
func lockNotAvailable(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "55P03"
}
