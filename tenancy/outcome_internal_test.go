package tenancy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

type lostSession struct {
	Session
	lost bool
}

func (s lostSession) Lost() bool { return s.lost }

// TestDoubt: what an error in the answer to COMMIT says about COMMIT. A pooler's word is not the server's.
func TestDoubt(t *testing.T) {
	t.Parallel()
	answer := func(severity, code string) error {
		return fmt.Errorf("wrapped: %w", &pgconn.PgError{Severity: severity, Code: code})
	}
	for _, c := range []struct {
		name       string
		err        error
		lost, want bool
	}{
		{"constraint", answer("ERROR", "23505"), false, false},
		{"serialization", answer("ERROR", "40001"), false, false},
		{"cancelled", answer("ERROR", "57014"), false, false},
		{"terminated", answer("FATAL", "57P01"), true, false},
		{"idle in transaction", answer("FATAL", "25P03"), true, false},
		{"malformed message", answer("ERROR", "08P01"), false, false},
		{"rolled back instead", pgx.ErrTxCommitRollback, false, false},
		{"scanning", pgx.ScanArgError{Err: errors.New("no")}, false, false},
		{"pooler lost the server", answer("FATAL", "08P01"), true, true},
		{"pooler lost the server, stays", answer("ERROR", "08006"), false, true},
		{"resolution unknown", answer("ERROR", "08007"), false, true},
		{"completion unknown", answer("ERROR", "40003"), false, true},
		{"lost", io.ErrUnexpectedEOF, true, true},
		{"context", context.DeadlineExceeded, true, true},
	} {
		require.Equal(t, c.want, doubtful(lostSession{lost: c.lost}, c.err), c.name)
	}
}
