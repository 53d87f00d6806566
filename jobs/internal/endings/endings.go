// Package endings runs jobs each of which ends in another way, for the tests of
// those that count outcomes.
package endings

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

type mail struct{ To string }

func (mail) Kind() string { return "mail" }

// Run takes six jobs of the kind "mail" to their ends, the last one ends with
// the process. It sets what it needs of opts. It is for bubbles of synctest: in
// real time it takes an hour.
func Run(ctx context.Context, d driver.Driver, opts *jobs.Options) error {
	opts.Logger, opts.MaxAttempts, opts.DrainTimeout = slog.New(slog.DiscardHandler), 2, -1
	opts.Backoff = func(int) time.Duration { return time.Minute }
	q, err := jobs.New(d, opts)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	snoozes := 0
	jobs.Handle(q, func(ctx context.Context, m mail) error {
		info, _ := jobs.InfoFrom(ctx)
		switch m.To {
		case "nobody":
			return errors.New("no such address")
		case "unwanted":
			return jobs.Discard(errors.New("unsubscribed"))
		case "asleep":
			if snoozes++; snoozes <= 3 {
				return jobs.Snooze(time.Minute)
			}
		case "cancelled":
			if _, err := q.Cancel(ctx, info.ID); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		case "last":
			stop()
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	for _, to := range []string{"ann", "nobody", "unwanted", "asleep", "cancelled"} {
		if _, err := q.Enqueue(ctx, mail{To: to}, nil); err != nil {
			return err
		}
	}
	if _, err := q.Enqueue(ctx, mail{To: "last"}, &jobs.EnqueueOptions{Delay: time.Hour}); err != nil {
		return err
	}
	return q.Run(ctx)
}
