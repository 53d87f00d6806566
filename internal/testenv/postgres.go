package testenv

import (
	"context"
	"io/fs"
	"testing"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// PG is a database of one test. Its pools are closed and the database is
// dropped at the end of the test.
type PG = devstack.Database

// Postgres returns a fresh database in which the *.sql files at the root of
// each of the migrations were executed as owner, in lexical order, one
// transaction per file. See devstack.Databases.
func Postgres(t testing.TB, migrations ...fs.FS) *PG {
	t.Helper()
	databases, err := devstack.TestDatabases()
	if err != nil {
		fatal(t, "PostgreSQL", err)
	}
	pg, err := databases.New(t.Context(), migrations...)
	if err != nil {
		t.Fatalf("testenv: PostgreSQL: %v", err)
	}
	t.Cleanup(func() { pg.End(t) })
	return pg
}

// PgBouncer returns pg with pools that go through a PgBouncer in transaction
// mode with 4 connections per role, started for this test.
func PgBouncer(t testing.TB, pg *PG) *PG {
	t.Helper()
	databases, err := devstack.TestDatabases()
	if err != nil {
		fatal(t, "PostgreSQL", err)
	}
	ctx := context.Background()
	pb, err := devstack.PgBouncer(ctx, databases.Server, nil)
	if err != nil {
		fatal(t, "PgBouncer", err)
	}
	through, err := devstack.NewDatabase(ctx, &devstack.PostgresServer{
		AppURL: pb.URL(pg.AppURL), SystemURL: pb.URL(pg.SystemURL), OwnerURL: pb.URL(pg.OwnerURL),
	})
	if err != nil {
		t.Fatalf("testenv: PgBouncer: %v", err)
	}
	t.Cleanup(func() {
		if err := pb.Close(); err != nil { // first, as it ends connections that the test left in use
			t.Errorf("testenv: stop PgBouncer: %v", err)
		}
		through.Close()
	})
	return through
}
