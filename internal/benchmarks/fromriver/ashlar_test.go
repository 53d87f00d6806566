package fromriver

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/oteljobs"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// ourProgram enqueues and works until ctx ends.
func ourProgram(ctx context.Context, rdb *redis.Client, m *mailer) error {
	driver, err := redisjobs.New(rdb, nil)
	if err != nil {
		return err
	}
	q, err := jobs.New(driver, &jobs.Options{
		Concurrency:  10,
		DrainTimeout: 20 * time.Second,
	})
	if err != nil {
		return err
	}
	jobs.Handle(q, func(ctx context.Context, a SendInvoice) error { return m.send(ctx, a.ID) })
	if _, err := q.Enqueue(ctx, SendInvoice{ID: 42}, nil); err != nil {
		return err
	}
	return q.Run(ctx)
}

func ourTransaction(ctx context.Context, db *tenancy.DB) error {
	return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := tx.Exec(ctx, `insert into invoices (id) values (42)`); err != nil {
			return err
		}
		return outboxjobs.Enqueue(tx, SendInvoice{ID: 42}, nil)
	})
}

// bothAtOnce is for the time of the move: River needs to see the connection, so the transaction begins at once.
func bothAtOnce(ctx context.Context, db *tenancy.DB, client *river.Client[pgx.Tx]) error {
	return db.With(&tenancy.TxOptions{Eager: true}).Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := client.InsertTx(ctx, tx, SendInvoice{ID: 42}, nil); err != nil {
			return err
		}
		return outboxjobs.Enqueue(tx, SendInvoice{ID: 42}, nil)
	})
}

// relay carries the jobs of committed transactions to the queue until ctx ends; any number of processes may.
func relay(ctx context.Context, db *tenancy.DB, driver *redisjobs.Driver) error {
	sink, err := outboxjobs.NewSink(driver, nil)
	if err != nil {
		return err
	}
	r, err := outbox.New(db, sink, nil)
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

func ourEffectOnce(ctx context.Context, db *tenancy.DB, a SendInvoice) error {
	info, _ := jobs.InfoFrom(ctx)
	return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		first, err := outbox.Once(ctx, tx, "invoice.send", info.ID)
		if err != nil || !first {
			return err
		}
		_, err = tx.Exec(ctx, `insert into invoices (id) values ($1)`, a.ID)
		return err
	})
}

// Charge is a job whose effect must happen once, even if it is enqueued twice. Request is made by whoever enqueues it.
type Charge struct {
	ID      int64  `json:"id"`
	Request string `json:"request"`
}

func (Charge) Kind() string { return "invoice.charge" }

func ourEffectOncePerRequest(ctx context.Context, db *tenancy.DB, a Charge) error {
	return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		first, err := outbox.Once(ctx, tx, "invoice.charge", a.Request)
		if err != nil || !first {
			return err
		}
		_, err = tx.Exec(ctx, `insert into invoices (id) values ($1)`, a.ID)
		return err
	})
}

func ourDelay(ctx context.Context, q *jobs.Queue) error {
	_, err := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{Delay: 24 * time.Hour})
	return err
}

func ourOptions() *jobs.Options {
	return &jobs.Options{
		Backoff: func(attempt int) time.Duration { return time.Duration(attempt) * time.Minute },
		Timeout: 30 * time.Second,
	}
}

func ourVerdict(_ context.Context, a SendInvoice) error {
	if a.ID == 0 {
		return jobs.Discard(errNoCustomer) // dead at once
	}
	return jobs.Snooze(time.Hour)
}

func ourUnique(ctx context.Context, q *jobs.Queue) (stored bool, err error) {
	receipt, err := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{
		Key: "invoice-42", Scope: jobs.UniqueFor, Window: time.Hour,
	})
	if err != nil {
		return false, err
	}
	return !receipt.Duplicate, nil // receipt.ID is the job that holds the key
}

func ourPriority(ctx context.Context, q *jobs.Queue) error {
	_, err := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{Priority: jobs.PriorityHigh})
	return err
}

func ourSchedule(q *jobs.Queue) error {
	return q.Cron("monthly", "0 6 1 * *", MonthlyReport{}, &jobs.CronOptions{Zone: "Europe/Berlin"})
}

func handleThumbnails(q *jobs.Queue) {
	jobs.HandleResult(q, func(ctx context.Context, a Thumbnail) (string, error) {
		return fmt.Sprintf("page-%d.pdf", a.Page), nil
	})
}

func ourResult(ctx context.Context, q *jobs.Queue) (string, error) {
	receipt, err := q.Enqueue(ctx, Thumbnail{Page: 7}, &jobs.EnqueueOptions{Keep: time.Hour})
	if err != nil {
		return "", err
	}
	return jobs.Await[string](ctx, q, receipt.ID) // or jobs.Result, later and elsewhere
}

func ourDead(ctx context.Context, q *jobs.Queue) (int, error) {
	dead, err := q.List(ctx, jobs.Dead, 0, 100)
	if err != nil {
		return 0, err
	}
	var ids []string
	for _, e := range dead {
		ids = append(ids, e.Info.ID)
	}
	return q.Requeue(ctx, ids...)
}

func ourMiddleware(log func(kind string, took time.Duration, err error)) *jobs.Options {
	return &jobs.Options{
		OnWork: []func(context.Context, func(context.Context) error) error{
			func(ctx context.Context, next func(context.Context) error) error {
				began := time.Now()
				err := next(ctx)
				info, _ := jobs.InfoFrom(ctx)
				log(info.Kind, time.Since(began), err)
				return err
			},
		},
	}
}

func measured(meters metric.MeterProvider, tracers trace.TracerProvider, driver *redisjobs.Driver) (*jobs.Queue, error) {
	observer, err := oteljobs.Metrics(meters, driver, nil) // or promjobs.New, for Prometheus
	if err != nil {
		return nil, err
	}
	opts := &jobs.Options{Observer: observer}
	oteljobs.Trace(tracers, opts)
	return jobs.New(driver, opts)
}

// Bind makes a document of its pages.
type Bind struct {
	Title string `json:"title"`
}

func (Bind) Kind() string { return "document.bind" }

func startDocument(ctx context.Context, q *jobs.Queue) (jobs.Receipt, error) {
	return q.Start(ctx, jobs.Flow{Stages: [][]jobs.Item{
		jobs.Items(Thumbnail{Page: 1}, Thumbnail{Page: 2}), // side by side
		jobs.Items(Bind{Title: "manual"}),                  // then this; jobs.Inputs reads their results
	}})
}

// move brings River's scheduled jobs over. It may be repeated, and interrupted anywhere: the id keeps a job from
// being stored twice.
func move(ctx context.Context, client *river.Client[pgx.Tx], q *jobs.Queue) (moved int, err error) {
	scheduled := river.NewJobListParams().Kinds(SendInvoice{}.Kind()).States(rivertype.JobStateScheduled).First(100)
	for {
		page, err := client.JobList(ctx, scheduled) // always the first page: the moved ones leave
		if err != nil || len(page.Jobs) == 0 {
			return moved, err
		}
		for _, job := range page.Jobs {
			var a SendInvoice
			if err := json.Unmarshal(job.EncodedArgs, &a); err != nil {
				return moved, err
			}
			opts := &jobs.EnqueueOptions{ID: fmt.Sprint("river-", job.ID), At: job.ScheduledAt}
			if _, err := q.Enqueue(ctx, a, opts); err != nil {
				return moved, err
			}
			if _, err := client.JobDelete(ctx, job.ID); err != nil {
				return moved, err // it runs now, there: see below
			}
			moved++
		}
	}
}
