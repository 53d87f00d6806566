package outboxjobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
	"github.com/ashlar-go/ashlar/tenancy"
)

// siege is a PostgreSQL and a Redis of their own, three relay processes, and
// writers whose transactions overlap. Relays are killed, PostgreSQL is killed,
// Redis is thrown back to what it was seconds ago. Nobody takes jobs: what is in
// the queue at the end is what was ever put into it.
type siege struct {
	*testing.T
	mode   string
	dir    string
	pg     *devstack.PostgresServer
	db     *tenancy.DB
	system *pgxpool.Pool
	redis  *testenv.Server
	rdb    *redis.Client
	driver *redisjobs.Driver
	relays [3]*exec.Cmd

	kills, restarts, throws int
	saved                   time.Time
}

func newSiege(t *testing.T, mode string) *siege {
	t.Helper()
	s := &siege{T: t, mode: mode, dir: t.TempDir(), redis: testenv.RedisServer(t)}
	s.startPostgres()
	t.Cleanup(func() {
		require.NoError(t, s.pg.Close())
		require.NoError(t, os.RemoveAll(s.pg.Dir)) // it may not lie in the test's folder
	})
	s.migrate()
	app, err := pgxpool.New(t.Context(), s.url(s.pg.AppURL))
	require.NoError(t, err)
	s.system, err = pgxpool.New(t.Context(), s.url(s.pg.SystemURL))
	require.NoError(t, err)
	s.db, err = tenancy.New(app, &tenancy.Options{System: s.system, Logger: quiet})
	require.NoError(t, err)
	s.rdb = s.redis.Client()
	s.driver, err = redisjobs.New(s.rdb, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, p := range s.relays {
			s.kill(p)
		}
		app.Close()
		s.system.Close()
	})
	return s
}

// startPostgres keeps the address through restarts: a link to the folder of the
// server's socket. Children of a killed server live on for a moment and hold its
// memory.
func (s *siege) startPostgres() {
	s.Helper()
	require.Eventually(s, func() bool {
		pg, err := devstack.Postgres(s.Context(), &devstack.PostgresOptions{URL: "none", Bin: os.Getenv("TEST_PGBIN"), Dir: filepath.Join(s.dir, "pg")})
		if err != nil {
			s.Log(err)
			return false
		}
		s.pg = pg
		return true
	}, time.Minute, 20*time.Millisecond)
	u, err := url.Parse(s.pg.AppURL)
	require.NoError(s, err)
	link := filepath.Join(s.dir, "run")
	require.NoError(s, errors.Join(os.RemoveAll(link+".new"), os.Symlink(u.Query().Get("host"), link+".new"), os.Rename(link+".new", link)))
}

func (s *siege) url(raw string) string {
	u, err := url.Parse(raw)
	require.NoError(s, err)
	u.RawQuery = url.Values{"host": {filepath.Join(s.dir, "run")}}.Encode()
	return u.String()
}

func (s *siege) migrate() {
	owner, err := pgx.Connect(s.Context(), s.pg.OwnerURL)
	require.NoError(s, err)
	defer owner.Close(context.Background())
	files, err := fs.Glob(tenancy.Migrations, "*.sql")
	require.NoError(s, err)
	for _, file := range files {
		sql, err := fs.ReadFile(tenancy.Migrations, file)
		require.NoError(s, err)
		_, err = owner.PgConn().Exec(s.Context(), string(sql)).ReadAll()
		require.NoError(s, err, file)
	}
	_, err = owner.PgConn().Exec(s.Context(), `
		create table aggregates (tenant_id text not null, key text not null, version int not null, primary key (tenant_id, key));
		select tenancy.protect('aggregates')`).ReadAll()
	require.NoError(s, err)
}

func (s *siege) process() *exec.Cmd {
	exe, err := os.Executable()
	require.NoError(s, err)
	cmd := exec.Command(exe, "--", s.mode, s.url(s.pg.AppURL), s.url(s.pg.SystemURL), s.redis.Addr, "0")
	cmd.Stderr = os.Stderr
	require.NoError(s, cmd.Start())
	return cmd
}

func (s *siege) kill(p *exec.Cmd) {
	if p != nil {
		_ = p.Process.Kill() // it may have ended by itself, which the end of the test shows
		_ = p.Wait()
	}
}

// write changes keys until ctx ends; errors of a server that was killed are
// everyday, the outbox says what became of the unit.
func (s *siege) write(ctx context.Context, w int) {
	pause := func() { <-time.After(time.Duration(rand.N(4)) * time.Millisecond) }
	for n := 0; ctx.Err() == nil; n++ {
		unit, cancel := context.WithTimeout(tenancy.WithID(s.Context(), tenants[(w+n)%2]), 5*time.Second)
		_ = change(unit, s.db, fmt.Sprint("w", w), fmt.Sprint("k", rand.N(4)), n%2 == 0, pause)
		cancel()
		pause()
	}
}

// long keeps a transaction with a job open for seconds, and then another one.
func (s *siege) long(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		_ = change(tenancy.WithID(s.Context(), tenants[2]), s.db, "long", "long", true, func() {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		})
	}
}

// attack goes on until that many kills were made while the writers write, and answers
// when the queue has not changed for a while.
func (s *siege) attack(kills int) (lost, twice, disordered int) {
	ctx, cancel := context.WithCancel(s.Context())
	var writers sync.WaitGroup
	for w := range 5 {
		writers.Go(func() { s.write(ctx, w) })
	}
	writers.Go(func() { s.long(ctx) })
	for i, p := range s.relays {
		if p == nil {
			s.relays[i] = s.process()
		}
	}
	s.redis.Save()
	s.saved = time.Now()
	for s.kills < kills {
		<-time.After(time.Duration(20+rand.N(130)) * time.Millisecond)
		i := rand.N(len(s.relays))
		s.kill(s.relays[i])
		s.relays[i] = s.process()
		s.kills++
		switch {
		case s.kills%20 == 7:
			require.NoError(s, s.pg.Kill())
			require.NoError(s, s.pg.Close())
			s.startPostgres()
			s.restarts++
		case time.Since(s.saved) > 1500*time.Millisecond:
			if s.throws == 0 || rand.N(2) == 0 {
				s.redis.ThrowBack()
				s.throws++
			}
			s.redis.Save()
			s.saved = time.Now()
		}
	}
	cancel()
	writers.Wait()
	s.settle()
	return s.faults()
}

// settle waits until all that was committed is in the queue, or nothing has
// come for a while.
func (s *siege) settle() {
	seen, since := -1, time.Now()
	for {
		stats, err := s.driver.Stats(s.Context())
		if err == nil && stats.Ready != seen {
			seen, since = stats.Ready, time.Now()
		}
		wait := time.Minute
		if s.mode != "siege" || err == nil && seen == s.committed() {
			wait = time.Second // what would be pushed again comes within that
		}
		if time.Since(since) > wait {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (s *siege) committed() (n int) {
	require.NoError(s, s.system.QueryRow(s.Context(), `select count(*) from tenancy.outbox`).Scan(&n))
	return n
}

// faults compares the queue with what was committed.
func (s *siege) faults() (lost, twice, disordered int) {
	rows, err := s.system.Query(s.Context(), `select payload from tenancy.outbox`)
	require.NoError(s, err)
	type version struct {
		tenant string
		held
	}
	want := map[version]int{}
	var payload []byte
	_, err = pgx.ForEachRow(rows, []any{&payload}, func() error {
		var e struct{ Job driver.Job }
		if err := json.Unmarshal(payload, &e); err != nil {
			return err
		}
		tenant, h := s.parse(e.Job.Body)
		want[version{tenant, h}] = 0
		return nil
	})
	require.NoError(s, err)
	last := map[[2]string]int{}
	for offset := 0; ; offset += driver.MaxBatch {
		page, err := s.driver.List(s.Context(), driver.ListQuery{State: driver.Ready, Offset: offset, Limit: driver.MaxBatch})
		require.NoError(s, err)
		for _, j := range page {
			tenant, h := s.parse(j.Body)
			if h.Version < last[[2]string{tenant, h.Key}] {
				disordered++
			}
			last[[2]string{tenant, h.Key}] = h.Version
			want[version{tenant, h}]++
		}
		if len(page) < driver.MaxBatch {
			break
		}
	}
	for _, n := range want {
		switch {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	s.Logf("%s: %d jobs, %d kills of relays, %d of PostgreSQL, Redis thrown back %d times: %d lost, %d twice, %d out of order",
		s.mode, len(want), s.kills, s.restarts, s.throws, lost, twice, disordered)
	return lost, twice, disordered
}

func (s *siege) parse(body []byte) (tenant string, h held) {
	var env struct {
		Tenant string
		Args   held
	}
	require.NoError(s, json.Unmarshal(body, &env))
	return env.Tenant, env.Args
}

func TestSiegeLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := newSiege(t, "siege")
	lost, twice, disordered := s.attack(testenv.Rounds(40, 520))
	require.Zero(t, lost)
	require.Zero(t, twice)
	require.Zero(t, disordered)
	require.Positive(t, s.restarts)
	require.Positive(t, s.throws)
}

// The same attack finds relays of other designs.
func TestSiegeFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	for mode, found := range map[string]func(lost, twice, disordered int) bool{
		"two steps": func(_, twice, _ int) bool { return twice > 0 },
		"seq":       func(lost, _, _ int) bool { return lost > 0 },
		"xid":       func(_, _, disordered int) bool { return disordered > 0 },
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newSiege(t, mode)
			for !found(s.attack(s.kills + 25)) {
				require.Less(t, s.kills, 200, "the attack does not find it")
			}
		})
	}
}
