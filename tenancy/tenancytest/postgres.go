package tenancytest

import (
	"context"
	"io/fs"
	"testing"

	"github.com/ashlar-go/ashlar/internal/devstack" //archtest:allow imports starts the server of Postgres; it needs pgx alone
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// server is the PostgreSQL below a kit.
type server struct {
	*devstack.Database
	t  testing.TB
	db *tenancy.DB // on the pools, without faults
}

// Postgres returns a kit on a fresh database of a real PostgreSQL, with tenancy.Migrations and then the *.sql files at the
// root of each of migrations applied, in lexical order. It has the methods of a kit in memory, so one line switches a test:
// round trips are counted and FailNext and LoseCommit break them, but SQL gets its answers from the server, Handle and
// Migrate do nothing, and a Table refuses. The pools' roles are bound by row-level security.
//
// The server is the one of the environment variable TEST_DATABASE_URL, whose user may create roles and databases, or a
// private one that ends with the test binary, started from what the machine has: its PostgreSQL, else npm's, else docker.
// Databases are cloned from a template for each set of migrations, in some 15 ms; so tests may be parallel.
func Postgres(t testing.TB, migrations ...fs.FS) *Kit {
	t.Helper()
	databases, err := devstack.TestDatabases()
	if err != nil {
		t.Fatalf("tenancytest: PostgreSQL: %v", err)
	}
	database, err := databases.New(t.Context(), append([]fs.FS{tenancy.Migrations}, migrations...)...)
	if err != nil {
		t.Fatalf("tenancytest: PostgreSQL: %v", err)
	}
	t.Cleanup(func() { database.End(t) })
	db, err := tenancy.New(database.App, &tenancy.Options{System: database.System})
	if err != nil {
		t.Fatalf("tenancytest: PostgreSQL: %v", err)
	}
	k := New(t)
	k.server = &server{Database: database, t: t, db: db}
	return k
}

// RequireGuarded fails t for each finding of guard.Audit in the database of k, which Postgres made: with it, no table of
// the migrations is forgotten. What is advice does not count. Nil opts mean that nothing is excepted.
func RequireGuarded(t testing.TB, k *Kit, opts *guard.Options) {
	t.Helper()
	if k.server == nil {
		t.Fatal("tenancytest: there is nothing to audit in memory; make the kit with Postgres")
	}
	found, err := guard.Audit(t.Context(), k.server.App, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Severity != guard.Advice {
			t.Error(f)
		}
	}
}

const (
	serverEventsSQL = `select id::text as id, tenant_id as tenant, type, key, payload, at from tenancy.outbox order by seq`
	serverAuditsSQL = `select seq, id::text as id, tenant_id, at, actor, on_behalf_of, ip, request_id, reason,
		role::text as role, action, subject, changes from tenancy.audit order by seq`
)

func (s *server) events() []outbox.Event { return ask[outbox.Event](s, serverEventsSQL) }

func (s *server) audits() []tenancy.AuditEntry { return ask[tenancy.AuditEntry](s, serverAuditsSQL) }

func ask[T any](s *server, sql string) []T {
	s.t.Helper()
	list, err := tenancy.All[T](tenancy.System(context.Background(), "tenancytest"), s.db, sql)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}
