package testenv_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
)

func notes() fstest.MapFS {
	return fstest.MapFS{
		"0001_notes.sql": {Data: []byte(`create table notes (body text); grant select, insert on notes to tenancy_app;`)},
		"0002_seed.sql":  {Data: []byte(`insert into notes values ('seed')`)},
	}
}

func TestPostgresIsFreshInEveryTest(t *testing.T) {
	for range 4 {
		t.Run("clone", func(t *testing.T) {
			t.Parallel()
			pg := testenv.Postgres(t, notes())
			var n int
			require.NoError(t, pg.App.QueryRow(t.Context(), `select count(*) from notes`).Scan(&n))
			require.Equal(t, 1, n)
			_, err := pg.App.Exec(t.Context(), `insert into notes values ('mine')`)
			require.NoError(t, err)
			_, err = pg.App.Exec(t.Context(), `drop table notes`)
			require.ErrorContains(t, err, "must be owner")
		})
	}
}

func TestPgBouncerLeadsToTheTestsDatabase(t *testing.T) {
	pg := testenv.Postgres(t, notes())
	through := testenv.PgBouncer(t, pg)
	_, err := through.App.Exec(t.Context(), `insert into notes values ($1)`, "through")
	require.NoError(t, err)
	var n int
	require.NoError(t, pg.App.QueryRow(t.Context(), `select count(*) from notes`).Scan(&n))
	require.Equal(t, 2, n)
	var role string
	require.NoError(t, through.System.QueryRow(t.Context(), `select current_user`).Scan(&role))
	require.Equal(t, "ashlar_system", role)
}

func TestRedisIsEmptyInEveryTest(t *testing.T) {
	a, b := testenv.Redis(t), testenv.Redis(t)
	require.NoError(t, a.Set(t.Context(), "k", "v", 0).Err())
	require.ErrorIs(t, b.Get(t.Context(), "k").Err(), redis.Nil)
}

func TestRedisServerKeepsWhatItAccepted(t *testing.T) {
	s := testenv.RedisServer(t)
	c := s.Client()
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	s.Kill()
	require.Error(t, c.Ping(t.Context()).Err())
	s.Restart()
	require.Equal(t, "v", c.Get(t.Context(), "k").Val())
	s.Pause()
	require.Error(t, s.Client().WithTimeout(100*time.Millisecond).Ping(t.Context()).Err())
	s.Resume()
	require.NoError(t, c.Ping(t.Context()).Err())
}

func TestProxyCountsCutsAndDelays(t *testing.T) {
	ctx := t.Context()
	p := testenv.Proxy(t, testenv.RedisServer(t).Addr)
	c := redis.NewClient(&redis.Options{Addr: p.Addr, MaxRetries: -1, PoolSize: 1, DialerRetries: 1})
	defer c.Close()
	twoGets := func() {
		_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Get(ctx, "a")
			pipe.Get(ctx, "a")
			return nil
		})
		require.NoError(t, err)
	}
	require.NoError(t, c.Set(ctx, "a", 1, 0).Err())
	twoGets() // go-redis connects once more for pipelines
	before := p.RoundTrips()
	require.NoError(t, c.Set(ctx, "a", 1, 0).Err())
	twoGets()
	require.EqualValues(t, 2, p.RoundTrips()-before, "a command and a pipeline are a round trip each")

	p.Delay(40 * time.Millisecond)
	start := time.Now()
	require.NoError(t, c.Ping(ctx).Err())
	require.GreaterOrEqual(t, time.Since(start), 40*time.Millisecond)
	p.Delay(0)

	p.Cut()
	require.Error(t, c.Ping(ctx).Err())
	require.Error(t, c.Ping(ctx).Err())
	p.Restore()
	require.NoError(t, c.Ping(ctx).Err())

	// A client would notice the reset of an idle connection by itself.
	raw, err := net.Dial("tcp", p.Addr)
	require.NoError(t, err)
	defer raw.Close()
	_, err = io.WriteString(raw, "PING\r\n")
	require.NoError(t, err)
	_, err = io.ReadFull(raw, make([]byte, len("+PONG\r\n")))
	require.NoError(t, err)
	p.Reset()
	_, err = raw.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NoError(t, c.Ping(ctx).Err())
}

func TestProxyInFrontOfASocket(t *testing.T) {
	pg := testenv.Postgres(t)
	cfg := pg.App.Config().ConnConfig
	p := testenv.Proxy(t, cfg.Host+"/.s.PGSQL.5432")
	conn, err := pgx.Connect(t.Context(), "postgres://"+cfg.User+"@"+p.Addr+"/"+cfg.Database+"?sslmode=disable")
	require.NoError(t, err)
	before := p.RoundTrips()
	var one int
	require.NoError(t, conn.QueryRow(t.Context(), `select 1`, pgx.QueryExecModeExec).Scan(&one))
	require.EqualValues(t, 1, p.RoundTrips()-before)
	require.NoError(t, conn.Close(t.Context()))
}
