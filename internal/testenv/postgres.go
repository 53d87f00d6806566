package testenv

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// PG is a database of one test. Its pools are closed and the database is
// dropped at the end of the test.
type PG struct {
	// App is subject to row-level security, System is the relays' and
	// purges' role, Owner ran the migrations and owns the database.
	App, System, Owner *pgxpool.Pool
	// AppURL, SystemURL and OwnerURL are the same three as URLs.
	AppURL, SystemURL, OwnerURL string
}

// Postgres returns a fresh database in which the *.sql files at the root of
// each of the migrations were executed as owner, in lexical order, one
// transaction per file. Databases are cloned from a template per set of
// migrations, so the first one of a set costs the migrations and the next
// ones some 15 ms.
func Postgres(t testing.TB, migrations ...fs.FS) *PG {
	t.Helper()
	server, err := sharedPostgres()
	if err != nil {
		fatal(t, "PostgreSQL", err)
	}
	pg, err := server.clone(t, migrations)
	if err != nil {
		t.Fatalf("testenv: PostgreSQL: %v", err)
	}
	return pg
}

// pgServer is the server of this test binary and its templates.
type pgServer struct {
	*devstack.PostgresServer
	admin *pgxpool.Pool

	mu        sync.Mutex
	templates map[string]error // by name; nil: ready
}

var sharedPostgres = sync.OnceValues(func() (*pgServer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	o := &devstack.PostgresOptions{URL: os.Getenv("TEST_DATABASE_URL"), Bin: os.Getenv("TEST_PGBIN")}
	if o.URL == "" {
		o.URL = "none" // DATABASE_URL may be somebody's real data
	}
	server, err := devstack.Postgres(ctx, o)
	if err != nil {
		return nil, err
	}
	admin, err := pgxpool.New(ctx, server.AdminURL)
	if err != nil {
		return nil, err
	}
	return &pgServer{PostgresServer: server, admin: admin, templates: map[string]error{}}, nil
})

func (s *pgServer) clone(t testing.TB, migrations []fs.FS) (*PG, error) {
	ctx := context.Background() // not the test's: it has ended when the cleanup runs
	template, err := s.template(ctx, migrations)
	if err != nil {
		return nil, err
	}
	name := "t_" + strings.ToLower(rand.Text()[:12])
	// Copying files is the fastest strategy for small databases, and the only
	// one before PostgreSQL 15.
	strategy := " strategy file_copy"
	if strings.HasPrefix(s.Version, "14") {
		strategy = ""
	}
	if _, err := s.admin.Exec(ctx, "create database "+name+" template "+template+strategy+s.owner()); err != nil {
		return nil, fmt.Errorf("clone the template: %w", err)
	}
	on := s.On(name)
	pg := &PG{AppURL: on.AppURL, SystemURL: on.SystemURL, OwnerURL: on.OwnerURL}
	for url, pool := range map[string]**pgxpool.Pool{pg.AppURL: &pg.App, pg.SystemURL: &pg.System, pg.OwnerURL: &pg.Owner} {
		cfg, err := pgxpool.ParseConfig(url)
		if err != nil {
			return nil, err
		}
		cfg.MaxConns = 16
		if *pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
			return nil, err
		}
		t.Cleanup((*pool).Close)
	}
	// Registered last, so it runs first; force ends connections that the test
	// left open, so that closing the pools does not wait for them.
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("TEST_DATABASE_URL") != "" {
			t.Logf("testenv: database %s is kept", name)
			return
		}
		if _, err := s.admin.Exec(ctx, "drop database "+name+" with (force)"); err != nil {
			t.Errorf("testenv: drop %s: %v", name, err)
		}
	})
	return pg, nil
}

func (s *pgServer) owner() string {
	if s.OwnerURL == s.AdminURL {
		return ""
	}
	return " owner ashlar_owner"
}

// template returns the name of a database with the migrations applied.
func (s *pgServer) template(ctx context.Context, migrations []fs.FS) (string, error) {
	files, name, err := readMigrations(migrations)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err, ok := s.templates[name]; ok {
		return name, err
	}
	err = s.buildTemplate(ctx, name, files)
	s.templates[name] = err
	return name, err
}

// buildTemplate works under a lock in the database, because several test
// binaries may share a server given by URL.
func (s *pgServer) buildTemplate(ctx context.Context, name string, files []migration) error {
	conn, err := s.admin.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `select pg_advisory_lock(hashtext($1))`, name); err != nil {
		return err
	}
	defer conn.Exec(ctx, `select pg_advisory_unlock(hashtext($1))`, name)
	var exists, done bool
	if err := conn.QueryRow(ctx, `select count(*) > 0, coalesce(bool_or(datistemplate), false)
		from pg_database where datname = $1`, name).Scan(&exists, &done); err != nil {
		return err
	}
	if done {
		return nil
	}
	if exists { // left half made by a killed run
		if _, err := conn.Exec(ctx, "drop database "+name+" with (force)"); err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, "create database "+name+s.owner()); err != nil {
		return err
	}
	owner, err := pgx.Connect(ctx, s.On(name).OwnerURL)
	if err != nil {
		return err
	}
	for _, m := range files {
		// The simple protocol runs the statements of a file as one transaction.
		if _, err := owner.PgConn().Exec(ctx, m.sql).ReadAll(); err != nil {
			owner.Close(ctx)
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	if err := owner.Close(ctx); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "alter database "+name+" is_template true")
	return err
}

type migration struct{ name, sql string }

// readMigrations returns the files in order and a template's name that
// changes with any of their bytes.
func readMigrations(sources []fs.FS) ([]migration, string, error) {
	var files []migration
	h := sha256.New()
	for _, source := range sources {
		names, err := fs.Glob(source, "*.sql")
		if err != nil {
			return nil, "", err
		}
		for _, name := range names {
			b, err := fs.ReadFile(source, name)
			if err != nil {
				return nil, "", err
			}
			files = append(files, migration{path.Base(name), string(b)})
			fmt.Fprintf(h, "%s %d %s", name, len(b), b)
		}
	}
	return files, "tmpl_" + hex.EncodeToString(h.Sum(nil)[:6]), nil
}
