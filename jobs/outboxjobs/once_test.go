package outboxjobs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

type charge struct{ Invoice string }

func (charge) Kind() string { return "charge" }

// naiveCharge is charged without a mark.
type naiveCharge struct{ Invoice string }

func (naiveCharge) Kind() string { return "charge.naive" }

// Each handler runs twice, because its attempt fails after the commit: that is what a process does that dies there.
func TestEffectsHappenOncePerJob(t *testing.T) {
	t.Parallel()
	b, pg := openOn(t)
	_, err := pg.Owner.Exec(t.Context(), `create table charges (tenant_id text not null, invoice text not null, job text not null);
		select tenancy.protect('charges')`)
	require.NoError(t, err)
	work := func(ctx context.Context, invoice string, marked bool) error {
		info, _ := jobs.InfoFrom(ctx)
		err := b.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			if marked {
				if first, err := outbox.Once(ctx, tx, "charge", info.ID); err != nil || !first {
					return err
				}
			}
			_, err := tx.Exec(ctx, `insert into charges (invoice, job) values ($1, $2)`, invoice, info.ID)
			return err
		})
		if err == nil && info.Attempt == 1 {
			err = jobs.Retry(errors.New("died after the commit"), 0)
		}
		return err
	}
	jobs.Handle(b.q, func(ctx context.Context, c charge) error { return work(ctx, c.Invoice, true) })
	jobs.Handle(b.q, func(ctx context.Context, c naiveCharge) error { return work(ctx, c.Invoice, false) })

	sink, err := outboxjobs.NewSink(b.driver, &outboxjobs.Options{Map: func(e outbox.Event) ([]jobs.Item, error) {
		return jobs.Items(charge{"of an event"}, charge{"of the same event"}), nil
	}})
	require.NoError(t, err)
	defer b.start(b.relay(sink).Run)()
	acme := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, b.db.Do(acme, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Emit(incidentOpened{"m"})
		return errors.Join(
			outboxjobs.Enqueue(tx, charge{"out of a unit"}, nil),
			outboxjobs.Enqueue(tx, naiveCharge{"without a mark"}, nil),
		)
	}))
	for _, id := range []string{"invoice:42", "invoice:43"} {
		_, err := b.q.Enqueue(acme, charge{id}, &jobs.EnqueueOptions{ID: id})
		require.NoError(t, err)
	}
	_, err = b.q.Start(acme, jobs.Flow{Stages: [][]jobs.Item{jobs.Items(charge{"in a flow"}, charge{"in the same stage"}), jobs.Items(charge{"in a later stage"})}})
	require.NoError(t, err)
	defer b.start(b.q.Run)()

	charges := func() (map[string]int, error) {
		n := map[string]int{}
		rows, err := tenancy.All[struct{ Invoice, Job string }](acme, b.db, `select invoice, job from charges`)
		for _, r := range rows {
			n[r.Invoice]++
		}
		return n, err
	}
	require.Eventually(t, func() bool {
		got, readErr := charges()
		stats, err := b.q.Stats(t.Context())
		return readErr == nil && err == nil && got["without a mark"] == 2 && len(got) == 9 && stats == jobs.Stats{}
	}, 2*time.Minute, 5*time.Millisecond)
	got, err := charges()
	require.NoError(t, err)
	require.Equal(t, map[string]int{
		"out of a unit": 1, "of an event": 1, "of the same event": 1, "invoice:42": 1, "invoice:43": 1,
		"in a flow": 1, "in the same stage": 1, "in a later stage": 1,
		"without a mark": 2, // so the others would be
	}, got)
}
