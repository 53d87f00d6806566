package devstack

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// TestPostgresFromNPM runs the pinned PostgreSQL of a machine that has none.
func TestPostgresFromNPM(t *testing.T) {
	bin, err := npmPostgres(t.Context(), io.Discard)
	require.NoError(t, err)
	pg, err := Postgres(t.Context(), &PostgresOptions{URL: "none", Bin: bin})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Close()) })
	require.Equal(t, "18.4", pg.Version)
	conn, err := pgx.Connect(t.Context(), pg.AppURL)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

// TestChangedDownloadIsRefused plants a download that is not what was pinned.
func TestChangedDownloadIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.tgz")
	require.NoError(t, os.WriteFile(file, []byte("something else"), 0o600))
	require.ErrorContains(t, checkSum(file, npmPostgresSums()["linux-x64"]), "was not used")
}

// TestMissingServerIsALineToType: whoever has neither programs nor npm nor
// docker is told what to run.
func TestMissingServerIsALineToType(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	require.False(t, dockerAnswers(t.Context()))
	for _, missing := range []*NotFoundError{postgresMissing, redisMissing, clickhouseMissing} {
		require.ErrorIs(t, missing, ErrNotFound)
		require.NotEmpty(t, missing.Line())
		require.Contains(t, missing.Error(), missing.Line())
	}
}
