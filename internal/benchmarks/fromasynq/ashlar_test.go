package fromasynq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobsui"
	"github.com/ashlar-go/ashlar/jobs/promjobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

type SendInvoice struct {
	ID int64 `json:"id"`
}

func (SendInvoice) Kind() string { return "invoice.send" }

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

func ourDelays(ctx context.Context, q *jobs.Queue, due time.Time) error {
	_, err := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{Delay: 24 * time.Hour})
	if err != nil {
		return err
	}
	_, err = q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{At: due})
	return err
}

func ourRetries(ctx context.Context, q *jobs.Queue) (*jobs.Options, error) {
	_, err := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{MaxAttempts: 5})
	return &jobs.Options{
		Backoff: func(attempt int) time.Duration {
			return time.Duration(attempt) * time.Minute
		},
	}, err
}

func ourGivingUp(ctx context.Context, a SendInvoice) error {
	switch {
	case a.ID == 0:
		return jobs.Discard(errNoCustomer) // dead at once
	case a.ID < 0:
		return jobs.Retry(errBusy, time.Minute) // the server said when
	}
	return jobs.Snooze(time.Hour) // not today; no attempt counted
}

func ourUnique(ctx context.Context, q *jobs.Queue) (stored bool, err error) {
	receipt, err := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{Key: "invoice-42"})
	if err != nil {
		return false, err
	}
	return !receipt.Duplicate, nil // receipt.ID is the job that holds the key
}

func handleWithin(q *jobs.Queue, m *mailer) {
	jobs.Handle(q, func(ctx context.Context, a SendInvoice) error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return m.send(ctx, a.ID)
	})
}

func ourCancel(ctx context.Context, q *jobs.Queue) (int, error) {
	receipt, err := q.Enqueue(ctx, SendInvoice{ID: 42}, nil)
	if err != nil {
		return 0, err
	}
	return q.Cancel(ctx, receipt.ID) // waiting or running, wherever it is
}

type MonthlyReport struct{}

func (MonthlyReport) Kind() string { return "report.monthly" }

func ourSchedule(q *jobs.Queue) error {
	// In every process: a tick is enqueued once.
	return q.Cron("monthly", "0 6 1 * *", MonthlyReport{}, &jobs.CronOptions{Zone: "Europe/Berlin"})
}

func ourPriorities(ctx context.Context, q *jobs.Queue) error {
	_, err := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{Priority: jobs.PriorityHigh})
	return err
}

// Thumbnail is a job with a result.
type Thumbnail struct {
	Page int `json:"page"`
}

func (Thumbnail) Kind() string { return "page.thumbnail" }

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

func rerunOurDead(ctx context.Context, q *jobs.Queue) (int, error) {
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

func mountDashboard(mux *http.ServeMux, q *jobs.Queue, admins func(http.Handler) http.Handler) error {
	ui, err := jobsui.New(map[string]*jobs.Queue{"default": q}, nil)
	if err != nil {
		return err
	}
	mux.Handle("/admin/jobs/", http.StripPrefix("/admin/jobs", admins(ui)))
	return nil
}

func measured(registry *prometheus.Registry, driver *redisjobs.Driver) (*jobs.Queue, error) {
	observer, err := promjobs.New(registry, driver, nil)
	if err != nil {
		return nil, err
	}
	return jobs.New(driver, &jobs.Options{Observer: observer})
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

func limitTenants(ctx context.Context, q *jobs.Queue) error {
	err := q.SetLimit(ctx, jobs.Target{Queue: true}, jobs.Limit{Rate: 100, Per: time.Minute}) // the mail provider's
	if err != nil {
		return err
	}
	return q.SetLimit(ctx, jobs.Target{EachTenant: true}, jobs.Limit{Running: 4}) // nobody takes all workers
}

// move brings asynq's scheduled tasks over. It may be repeated, and interrupted anywhere: the id keeps a job from
// being stored twice.
func move(ctx context.Context, rdb *redis.Client, q *jobs.Queue) (moved int, err error) {
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	for {
		tasks, err := inspector.ListScheduledTasks("default", asynq.PageSize(100)) // always the first page: the moved ones leave
		if err != nil || len(tasks) == 0 {
			return moved, err
		}
		for _, t := range tasks {
			if t.Type != typeInvoice {
				return moved, fmt.Errorf("a task of type %s", t.Type)
			}
			var a SendInvoice
			if err := json.Unmarshal(t.Payload, &a); err != nil {
				return moved, err
			}
			opts := &jobs.EnqueueOptions{ID: "asynq-" + t.ID, At: t.NextProcessAt}
			if _, err := q.Enqueue(ctx, a, opts); err != nil {
				return moved, err
			}
			err := inspector.DeleteTask("default", t.ID)
			if err != nil && !errors.Is(err, asynq.ErrTaskNotFound) {
				return moved, err // it runs now, there: see below
			}
			moved++
		}
	}
}
