package fromriver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/robfig/cron/v3"
)

type InvoiceWorker struct {
	river.WorkerDefaults[SendInvoice]
	m *mailer
}

func (w *InvoiceWorker) Work(ctx context.Context, job *river.Job[SendInvoice]) error {
	return w.m.send(ctx, job.Args.ID)
}

// theirProgram enqueues and works until ctx ends.
func theirProgram(ctx context.Context, pool *pgxpool.Pool, m *mailer) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, &InvoiceWorker{m: m})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues:          map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Workers:         workers,
		SoftStopTimeout: 20 * time.Second,
		Logger:          quiet,
	})
	if err != nil {
		return err
	}
	if _, err := client.Insert(ctx, SendInvoice{ID: 42}, nil); err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	<-client.Stopped()
	return nil
}

func theirTransaction(ctx context.Context, pool *pgxpool.Pool, client *river.Client[pgx.Tx]) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, `insert into invoices (id) values (42)`); err != nil {
		return err
	}
	if _, err := client.InsertTx(ctx, tx, SendInvoice{ID: 42}, nil); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func theirEffectOnce(ctx context.Context, pool *pgxpool.Pool, job *river.Job[SendInvoice]) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, `insert into invoices (id) values ($1)`, job.Args.ID); err != nil {
		return err
	}
	if _, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func theirDelay(ctx context.Context, client *river.Client[pgx.Tx]) error {
	_, err := client.Insert(ctx, SendInvoice{ID: 42}, &river.InsertOpts{
		ScheduledAt: time.Now().Add(24 * time.Hour),
	})
	return err
}

func (w *InvoiceWorker) NextRetry(job *river.Job[SendInvoice]) time.Time {
	return time.Now().Add(time.Duration(job.Attempt) * time.Minute)
}

func (w *InvoiceWorker) Timeout(*river.Job[SendInvoice]) time.Duration { return 30 * time.Second }

var errNoCustomer = errors.New("no such customer")

func theirVerdict(_ context.Context, job *river.Job[SendInvoice]) error {
	if job.Args.ID == 0 {
		return river.JobCancel(errNoCustomer) // never again
	}
	return river.JobSnooze(time.Hour)
}

func theirUnique(ctx context.Context, client *river.Client[pgx.Tx]) (stored bool, err error) {
	result, err := client.Insert(ctx, SendInvoice{ID: 42}, &river.InsertOpts{
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByPeriod: time.Hour},
	})
	if err != nil {
		return false, err
	}
	return !result.UniqueSkippedAsDuplicate, nil
}

func theirPriority(ctx context.Context, client *river.Client[pgx.Tx]) error {
	_, err := client.Insert(ctx, SendInvoice{ID: 42}, &river.InsertOpts{Priority: 1}) // 1 to 4, the default is 1
	return err
}

type MonthlyReport struct{}

func (MonthlyReport) Kind() string { return "report.monthly" }

func theirPeriodicJobs() ([]*river.PeriodicJob, error) {
	schedule, err := cron.ParseStandard("CRON_TZ=Europe/Berlin 0 6 1 * *") // github.com/robfig/cron/v3
	return []*river.PeriodicJob{
		river.NewPeriodicJob(schedule, func() (river.JobArgs, *river.InsertOpts) {
			return MonthlyReport{}, nil
		}, &river.PeriodicJobOpts{ID: "monthly"}),
	}, err
}

type Thumbnail struct {
	Page int `json:"page"`
}

func (Thumbnail) Kind() string { return "page.thumbnail" }

func theirResult(ctx context.Context, job *river.Job[Thumbnail]) error {
	return river.RecordOutput(ctx, fmt.Sprintf("page-%d.pdf", job.Args.Page)) // read with JobRow.Output
}

func theirDead(ctx context.Context, client *river.Client[pgx.Tx]) (int, error) {
	dead, err := client.JobList(ctx, river.NewJobListParams().States(rivertype.JobStateDiscarded).First(100))
	if err != nil {
		return 0, err
	}
	for _, job := range dead.Jobs {
		if _, err := client.JobRetry(ctx, job.ID); err != nil {
			return 0, err
		}
	}
	return len(dead.Jobs), nil
}

func theirMiddleware(log func(kind string, took time.Duration, err error)) []rivertype.Middleware {
	return []rivertype.Middleware{
		river.WorkerMiddlewareFunc(func(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
			began := time.Now()
			err := doInner(ctx)
			log(job.Kind, time.Since(began), err)
			return err
		}),
	}
}

func theirMetrics(record func(name string, metric rivertype.Metric)) []rivertype.Plugin {
	return []rivertype.Plugin{
		river.HookMetricEmitFunc(func(_ context.Context, params *rivertype.HookMetricEmitParams) {
			record(string(params.Metric.Name()), params.Metric) // counts and durations of fetching, not of jobs
		}),
	}
}
