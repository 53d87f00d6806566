package tenancy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// TestStatementsOwnDeadlineIsNoReasonToRunAgain: pgx closes the connection when a statement's own context ends, which looks
// like a lost one; the unit as a whole still has time and must not use it to do the same again.
func TestStatementsOwnDeadlineIsNoReasonToRunAgain(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	runs := 0
	err = db.Do(tenancy.WithID(t.Context(), "acme"), func(ctx context.Context, tx *tenancy.Tx) error {
		runs++
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := tx.Exec(ctx, `select pg_sleep(60)`)
		return err
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, 1, runs)
}
