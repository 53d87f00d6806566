package testenv

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// Replicated is a primary of this test alone and its streaming replica, which
// the test may stop, pause or crash.
type Replicated struct {
	// PG is on the primary, Replica the same database on the replica.
	*PG
	Replica *PG
	// Primary and Standby are the servers. Both end with the test.
	Primary, Standby *devstack.PostgresServer
}

// PostgresReplicated starts both servers; see [Postgres] for the migrations.
// The replica applies commits no earlier than delay after they were made.
func PostgresReplicated(t testing.TB, delay time.Duration, migrations ...fs.FS) *Replicated {
	t.Helper()
	ctx := context.Background() // not the test's: it has ended when the cleanup runs
	primary, err := devstack.Postgres(ctx, &devstack.PostgresOptions{URL: "none"})
	if err != nil {
		fatal(t, "PostgreSQL", err)
	}
	t.Cleanup(func() { primary.Close() })
	databases, err := devstack.NewDatabases(ctx, primary)
	if err != nil {
		t.Fatalf("testenv: primary: %v", err)
	}
	pg, err := databases.New(ctx, migrations...)
	if err != nil {
		t.Fatalf("testenv: primary: %v", err)
	}
	t.Cleanup(pg.Close)
	standby, err := primary.Replica(ctx, delay)
	if err != nil {
		t.Fatalf("testenv: replica: %v", err)
	}
	t.Cleanup(func() { standby.Close() })
	replica, err := devstack.NewDatabase(ctx, standby.On(pg.Name()))
	if err != nil {
		t.Fatalf("testenv: replica: %v", err)
	}
	t.Cleanup(replica.Close)
	return &Replicated{PG: pg, Replica: replica, Primary: primary, Standby: standby}
}
