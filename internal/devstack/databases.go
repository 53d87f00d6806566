package devstack

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Databases makes databases of their own for tests on one server. They are
// cloned from a template per set of migrations, so the first one of a set
// costs the migrations and the next ones some 15 ms.
type Databases struct {
	// Server is the one they are on.
	Server *PostgresServer

	admin *pgxpool.Pool
	given bool // by TEST_DATABASE_URL

	mu        sync.Mutex
	templates map[string]error // by name; nil: ready
}

// Database is a database of one test.
type Database struct {
	// App is subject to row-level security, System is the relays' and
	// purges' role, Owner ran the migrations and owns the database.
	App, System, Owner *pgxpool.Pool
	// AppURL, SystemURL and OwnerURL are the same three as URLs.
	AppURL, SystemURL, OwnerURL string

	name  string
	admin *pgxpool.Pool
	keep  bool // on a server that outlives the test
}

// TestDatabases are on the server TEST_DATABASE_URL, whose user may create
// roles and databases, or else on a private server, which ends with the
// process; all callers get the same.
var TestDatabases = sync.OnceValues(func() (*Databases, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	o := &PostgresOptions{URL: os.Getenv("TEST_DATABASE_URL"), Bin: os.Getenv("TEST_PGBIN")}
	given := o.URL != ""
	if !given {
		o.URL = "none" // DATABASE_URL may be somebody's real data
	}
	server, err := Postgres(ctx, o)
	if err != nil {
		return nil, err
	}
	s, err := NewDatabases(ctx, server)
	if err != nil {
		return nil, err
	}
	s.given = given
	return s, nil
})

// NewDatabases makes databases on a server of the caller's.
func NewDatabases(ctx context.Context, server *PostgresServer) (*Databases, error) {
	admin, err := pgxpool.New(ctx, server.AdminURL)
	if err != nil {
		return nil, err
	}
	return &Databases{Server: server, admin: admin, templates: map[string]error{}}, nil
}

// New returns a fresh database in which the *.sql files at the root of each
// of the migrations were executed as owner, in lexical order, one transaction
// per file. The caller ends it.
func (s *Databases) New(ctx context.Context, migrations ...fs.FS) (*Database, error) {
	template, err := s.template(ctx, migrations)
	if err != nil {
		return nil, err
	}
	name := "t_" + strings.ToLower(rand.Text()[:12])
	// Copying files is the fastest strategy for small databases, and the only
	// one before PostgreSQL 15.
	strategy := " strategy file_copy"
	if strings.HasPrefix(s.Server.Version, "14") {
		strategy = ""
	}
	if _, err := s.admin.Exec(ctx, "create database "+name+" template "+template+strategy+s.owner()); err != nil {
		return nil, fmt.Errorf("clone the template: %w", err)
	}
	d, err := NewDatabase(ctx, s.Server.On(name))
	if err != nil {
		return nil, err
	}
	d.name, d.admin, d.keep = name, s.admin, s.given
	return d, nil
}

// NewDatabase returns the pools of a database that exists, of at most 16
// connections each.
func NewDatabase(ctx context.Context, on *PostgresServer) (*Database, error) {
	d := &Database{AppURL: on.AppURL, SystemURL: on.SystemURL, OwnerURL: on.OwnerURL}
	for url, pool := range map[string]**pgxpool.Pool{d.AppURL: &d.App, d.SystemURL: &d.System, d.OwnerURL: &d.Owner} {
		cfg, err := pgxpool.ParseConfig(url)
		if err != nil {
			return nil, err
		}
		cfg.MaxConns = 16
		if *pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Name is the database's.
func (d *Database) Name() string { return d.name }

// End closes the pools and drops the database, unless its test has failed on
// a server that outlives it, where somebody can look at it.
func (d *Database) End(t test) {
	defer d.Close()
	if t.Failed() && d.keep {
		t.Logf("database %s is kept", d.name)
		return
	}
	// By force, so that closing the pools does not wait for connections that
	// the test left in use; the test's context has ended.
	if _, err := d.admin.Exec(context.Background(), "drop database "+d.name+" with (force)"); err != nil {
		t.Errorf("drop database %s: %v", d.name, err)
	}
}

// test is what End needs of a testing.TB.
type test interface {
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Close closes the pools.
func (d *Database) Close() {
	for _, pool := range []*pgxpool.Pool{d.App, d.System, d.Owner} {
		pool.Close()
	}
}

func (s *Databases) owner() string {
	if s.Server.OwnerURL == s.Server.AdminURL {
		return ""
	}
	return " owner " + ownerRole
}

// template returns the name of a database with the migrations applied.
func (s *Databases) template(ctx context.Context, migrations []fs.FS) (string, error) {
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
func (s *Databases) buildTemplate(ctx context.Context, name string, files []migration) error {
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
	if err := run(ctx, s.Server.On(name).OwnerURL, files); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "alter database "+name+" is_template true")
	return err
}

func run(ctx context.Context, url string, files []migration) (err error) {
	owner, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, owner.Close(ctx)) }()
	for _, m := range files {
		// The simple protocol runs the statements of a file as one transaction.
		if _, err := owner.PgConn().Exec(ctx, m.sql).ReadAll(); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
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
