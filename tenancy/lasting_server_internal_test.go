package tenancy

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
)

// TestServerReadsTextsAsWeDo sends texts of random pieces that may hide a SET in what looks like a string, a name or a comment.
// Each that changes the session was seen to.
func TestServerReadsTextsAsWeDo(t *testing.T) {
	t.Parallel()
	begins := []string{"select ", "select E'a'\n'", "select 'a'\n'"}
	pieces := []string{
		`'`, `\'`, `, '`, `\`, `E'`, "\n'", `"`, `U&"`, `$$`, `$a$`, `a`, `1a`, `--`, "\n", `/*`, `*/`, `;`, `, `, `(`,
		`set tenancy.kept = 'x'`, `; set tenancy.kept = 'x'; `, `; set tenancy.kept to x --`, `; set tenancy.kept to $$x$$; `,
	}
	pg := testenv.Postgres(t)
	pool, err := pg.App.Acquire(t.Context())
	require.NoError(t, err)
	defer pool.Release()
	conn := pool.Conn().PgConn()
	random := rand.New(rand.NewPCG(1, 2))
	changed := 0
	for range testenv.Rounds(100_000, 3_000_000) {
		sql := begins[random.IntN(len(begins))]
		for range 1 + random.IntN(7) {
			sql += pieces[random.IntN(len(pieces))]
		}
		if !strings.Contains(sql, "set tenancy") {
			continue
		}
		if _, err := conn.Exec(t.Context(), sql).ReadAll(); err != nil {
			continue // most are no SQL at all
		}
		kept, err := conn.Exec(t.Context(), `select current_setting('tenancy.kept', true)`).ReadAll()
		require.NoError(t, err)
		if string(kept[0].Rows[0][0]) != "" {
			changed++
			require.True(t, lasting(sql), "%q", sql)
			_, err = conn.Exec(t.Context(), `set tenancy.kept = ''`).ReadAll()
			require.NoError(t, err)
		}
	}
	t.Log("texts that changed the session:", changed)
	require.Greater(t, changed, 500)
}
