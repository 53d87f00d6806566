package fromasynq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const typeInvoice = "invoice:send"

type invoicePayload struct {
	ID int64 `json:"id"`
}

func newInvoiceTask(id int64) (*asynq.Task, error) {
	payload, err := json.Marshal(invoicePayload{ID: id})
	return asynq.NewTask(typeInvoice, payload), err
}

func (m *mailer) handleInvoice(ctx context.Context, t *asynq.Task) error {
	var p invoicePayload
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	return m.send(ctx, p.ID)
}

// theirProgram enqueues and works until ctx ends.
func theirProgram(ctx context.Context, rdb *redis.Client, m *mailer) error {
	client := asynq.NewClientFromRedisClient(rdb)
	task, err := newInvoiceTask(42)
	if err != nil {
		return err
	}
	if _, err := client.EnqueueContext(ctx, task); err != nil {
		return err
	}

	mux := asynq.NewServeMux()
	mux.HandleFunc(typeInvoice, m.handleInvoice)
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency:     10,
		ShutdownTimeout: 20 * time.Second,
		LogLevel:        asynq.FatalLevel,
	})
	if err := server.Start(mux); err != nil {
		return err
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}

func theirDelays(ctx context.Context, client *asynq.Client, task *asynq.Task, due time.Time) error {
	_, err := client.EnqueueContext(ctx, task, asynq.ProcessIn(24*time.Hour))
	if err != nil {
		return err
	}
	_, err = client.EnqueueContext(ctx, task, asynq.ProcessAt(due))
	return err
}

func theirRetries(ctx context.Context, client *asynq.Client, task *asynq.Task) (asynq.Config, error) {
	_, err := client.EnqueueContext(ctx, task, asynq.MaxRetry(4)) // 5 attempts
	return asynq.Config{
		RetryDelayFunc: func(retried int, _ error, _ *asynq.Task) time.Duration {
			return time.Duration(retried+1) * time.Minute
		},
	}, err
}

var errNoCustomer, errBusy = errors.New("no such customer"), errors.New("mail server is busy")

func theirGivingUp(context.Context, *asynq.Task) error {
	return fmt.Errorf("%w: %w", errNoCustomer, asynq.SkipRetry) // archived at once
}

func theirUnique(ctx context.Context, client *asynq.Client, task *asynq.Task) (stored bool, err error) {
	_, err = client.EnqueueContext(ctx, task, asynq.Unique(time.Hour))
	if errors.Is(err, asynq.ErrDuplicateTask) {
		return false, nil
	}
	return err == nil, err
}

func theirCancel(ctx context.Context, client *asynq.Client, rdb *redis.Client, task *asynq.Task) error {
	info, err := client.EnqueueContext(ctx, task, asynq.Timeout(30*time.Second))
	if err != nil {
		return err
	}
	return asynq.NewInspectorFromRedisClient(rdb).CancelProcessing(info.ID)
}

func theirSchedule(rdb *redis.Client, berlin *time.Location) (*asynq.Scheduler, error) {
	// One process only, or every tick is enqueued once per process.
	scheduler := asynq.NewSchedulerFromRedisClient(rdb, &asynq.SchedulerOpts{Location: berlin})
	_, err := scheduler.Register("0 6 1 * *", asynq.NewTask("report:monthly", nil))
	return scheduler, err // and scheduler.Run() beside the server
}

func theirPriorities(ctx context.Context, client *asynq.Client, task *asynq.Task) (asynq.Config, error) {
	_, err := client.EnqueueContext(ctx, task, asynq.Queue("critical"))
	return asynq.Config{
		Queues: map[string]int{"critical": 6, "default": 3, "low": 1},
	}, err
}

func theirResult(_ context.Context, t *asynq.Task) error {
	_, err := t.ResultWriter().Write([]byte(`"page-7.pdf"`)) // kept by asynq.Retention(time.Hour)
	return err
}

func readTheirResult(rdb *redis.Client, id string) ([]byte, error) {
	info, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo("default", id)
	if err != nil {
		return nil, err
	}
	return info.Result, nil
}

func theirMiddleware(mux *asynq.ServeMux, log func(kind string, took time.Duration, err error)) {
	mux.Use(func(next asynq.Handler) asynq.Handler {
		return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
			began := time.Now()
			err := next.ProcessTask(ctx, t)
			log(t.Type(), time.Since(began), err)
			return err
		})
	})
}

func rerunTheirDead(rdb *redis.Client) (int, error) {
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	dead, err := inspector.ListArchivedTasks("default", asynq.PageSize(100))
	if err != nil {
		return 0, err
	}
	for _, t := range dead {
		if err := inspector.RunTask("default", t.ID); err != nil {
			return 0, err
		}
	}
	return len(dead), nil
}
