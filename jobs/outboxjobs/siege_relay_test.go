package outboxjobs_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// renamed gives each job a new id at each push. The queue drops a job that it
// has already; without that help, whatever is pushed twice is there twice.
type renamed struct{ *redisjobs.Driver }

func (d renamed) rename(batch []driver.Job) []driver.Job {
	for i := range batch {
		batch[i].ID = rand.Text()
	}
	return batch
}

func (d renamed) Push(ctx context.Context, p driver.Push) ([]driver.Pushed, error) {
	p.Jobs = d.rename(p.Jobs)
	return d.Driver.Push(ctx, p)
}

func (d renamed) PushAt(ctx context.Context, from, to string, batch []driver.Job) (bool, error) {
	return d.Driver.PushAt(ctx, from, to, d.rename(batch))
}

// siegeRelay returns the relay of a kind, "siege" for the real one, nil for one
// that it does not know.
func siegeRelay(kind string, db *tenancy.DB, driver *redisjobs.Driver, rdb *redis.Client) func(context.Context) error {
	d := renamed{driver}
	sink, err := outboxjobs.NewSink(d, nil)
	if err != nil {
		return func(context.Context) error { return err }
	}
	switch kind {
	case "siege":
		return relayTo(db, sink)
	case "two steps":
		return relayTo(db, twoSteps{naive{driver: d}, rdb})
	case "seq":
		return planted{db, sink, `select '' as xid, seq::text, tenant_id, payload from tenancy.outbox
			where seq > $2::text::bigint and $1::text is not null order by outbox.seq limit 20`}.run
	case "xid":
		return planted{db, sink, `select xid::text, seq::text, tenant_id, payload from tenancy.outbox
			where (xid, seq) > ($1::text::xid8, $2::text::bigint) and xid < pg_snapshot_xmin(pg_current_snapshot())
			order by outbox.xid, outbox.seq limit 20`}.run
	}
	return nil
}

func relayTo(db *tenancy.DB, sink outbox.Sink) func(context.Context) error {
	r, err := outbox.New(db, sink, &outbox.Options{Batch: 20, MaxPoll: 5 * time.Millisecond, Logger: quiet})
	if err != nil {
		return func(context.Context) error { return err }
	}
	return r.Run
}

// planted is a relay that stores jobs and cursor in one step, as it should, and
// reads the outbox as many do: from a cursor that is a pair of numbers.
type planted struct {
	db   *tenancy.DB
	sink outbox.Sink
	sql  string
}

func (p planted) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if n, err := p.step(ctx); n == 0 || err != nil { // errors are retried, as by the real one
			<-time.After(5 * time.Millisecond)
		}
	}
	return nil
}

func (p planted) step(ctx context.Context) (int, error) {
	at, err := p.sink.Position(ctx)
	if err != nil {
		return 0, err
	}
	xid, seq := "1", "0"
	if at != "" {
		if _, err := fmt.Sscan(at, &xid, &seq); err != nil {
			return 0, err
		}
	}
	rows, err := tenancy.All[struct {
		XID     string `db:"xid"`
		Tenant  string `db:"tenant_id"`
		Seq     string
		Payload []byte
	}](tenancy.System(ctx, "planted relay"), p.db, p.sql, xid, seq)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	events := make([]outbox.Event, len(rows))
	for i, r := range rows {
		events[i] = outbox.Event{Tenant: r.Tenant, Type: "ashlar.job", Payload: r.Payload}
		xid, seq = max(r.XID, "1"), r.Seq
	}
	_, err = p.sink.Deliver(ctx, at, xid+" "+seq, events)
	return len(rows), err
}

// held is what a job of the siege says: the version-th change of a key.
type held struct {
	Key     string
	Version int
}

func (held) Kind() string { return "held" }

// change makes the next version of a key and enqueues it. The transaction has
// its id before it waits for the key, so ids and versions disagree; early, it
// has its place in the outbox before it commits, so places and commits do, too.
func change(ctx context.Context, db *tenancy.DB, writer, key string, early bool, pause func()) error {
	return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		const next = `insert into aggregates (key, version) values ($1, 1)
			on conflict (tenant_id, key) do update set version = aggregates.version + 1 returning version`
		if _, err := tenancy.One[int](ctx, tx, next, writer); err != nil {
			return err
		}
		pause()
		version, err := tenancy.One[int](ctx, tx, next, key)
		if err != nil {
			return err
		}
		if !early {
			return outboxjobs.Enqueue(tx, held{key, version}, nil)
		}
		job, err := jobs.NewJob(tx.ID(), held{key, version}, nil, -1)
		if err != nil {
			return err
		}
		payload, err := json.Marshal(map[string]any{"kind": "held", "job": job})
		if err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `insert into tenancy.outbox (id, tenant_id, type, payload)
			values (gen_random_uuid(), $1, 'ashlar.job', $2)`, tx.ID(), payload); err != nil {
			return err
		}
		pause()
		return nil
	})
}
