package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

var schema = fstest.MapFS{"0001_app.sql": {Data: []byte(`
create table aggregates (tenant_id text not null, key text not null, version int not null, primary key (tenant_id, key));
select tenancy.protect('aggregates');
`)}}

// changed is the event of the version-th change of an aggregate.
type changed struct {
	Key     string
	Version int
}

func (changed) EventType() string  { return "changed" }
func (c changed) EventKey() string { return c.Key }

func open(t *testing.T) (*tenancy.DB, *testenv.PG) {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	return on(t, pg.App, pg.System), pg
}

func on(t *testing.T, app, system *pgxpool.Pool) *tenancy.DB {
	t.Helper()
	db, err := tenancy.New(app, &tenancy.Options{System: system})
	require.NoError(t, err)
	return db
}

// change locks the aggregate's row, as every write to one does, and emits the event.
func change(ctx context.Context, db *tenancy.DB, key string, between func()) error {
	return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		version, err := tenancy.One[int](ctx, tx, `insert into aggregates (key, version) values ($1, 1)
			on conflict (tenant_id, key) do update set version = aggregates.version + 1 returning version`, key)
		if err != nil {
			return err
		}
		between()
		tx.Emit(changed{key, version})
		return nil
	})
}

// faults compares the delivered events with what must have been delivered: each version of each aggregate once, in order.
func faults(events []outbox.Event, want map[string]int) (list []string) {
	last := map[string]int{}
	seen := map[string]bool{}
	for _, e := range events {
		var c changed
		if err := json.Unmarshal(e.Payload, &c); err != nil {
			return []string{err.Error()}
		}
		key := e.Tenant + "/" + c.Key
		switch {
		case seen[e.ID]:
			list = append(list, fmt.Sprintf("%s version %d twice", key, c.Version))
		case c.Version <= last[key]:
			list = append(list, fmt.Sprintf("%s version %d after %d", key, c.Version, last[key]))
		case c.Version > last[key]+1:
			list = append(list, fmt.Sprintf("%s version %d missing before %d", key, last[key]+1, c.Version))
		}
		seen[e.ID] = true
		last[key] = max(last[key], c.Version)
	}
	for key, n := range want {
		if last[key] != n {
			list = append(list, fmt.Sprintf("%s ends at version %d, want %d", key, last[key], n))
		}
	}
	return list
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
