package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Entry is a job as List shows it.
type Entry struct {
	Info  Info
	Args  json.RawMessage
	Error string    // of the last attempt
	At    time.Time // when it is due or died; zero for ready jobs
}

// Stats counts the jobs of the queue by state, in constant time.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	stats, err := q.driver.Stats(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("jobs: stats: %w", err)
	}
	return stats, nil
}

// List pages through the jobs of one state: ready ones in the order in which
// they run, scheduled ones by due time, dead ones latest first. Limit is 1 to
// MaxBatch. It sees the jobs of all tenants: it is for operators.
func (q *Queue) List(ctx context.Context, state State, offset, limit int) ([]Entry, error) {
	if limit < 1 || limit > driver.MaxBatch || offset < 0 {
		return nil, fmt.Errorf("jobs: list: want a limit of 1 to %d and an offset of at least 0", driver.MaxBatch)
	}
	if state != Ready && state != Scheduled && state != Dead {
		return nil, fmt.Errorf("jobs: list: unknown state %q", state)
	}
	stored, err := q.driver.List(ctx, driver.ListQuery{State: state, Offset: offset, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("jobs: list: %w", err)
	}
	entries := make([]Entry, len(stored))
	for i, s := range stored {
		env, _ := decode(s.Body) // an unreadable job is shown by its id
		entries[i] = Entry{Info: q.info(s, env), Args: env.Args, Error: s.Error, At: s.At}
		if state == Dead {
			entries[i].Info.Attempt = s.Attempts // none is to come
		}
	}
	return entries, nil
}

// Requeue makes dead jobs ready again, with all their attempts before them,
// and answers how many of the ids were dead jobs.
func (q *Queue) Requeue(ctx context.Context, ids ...string) (int, error) {
	return q.resolve(ctx, ids, driver.Requeue)
}

// Delete forgets dead jobs for ever and answers how many there were.
func (q *Queue) Delete(ctx context.Context, ids ...string) (int, error) {
	return q.resolve(ctx, ids, driver.Delete)
}

func (q *Queue) resolve(ctx context.Context, ids []string, how driver.Resolution) (int, error) {
	total := 0
	for len(ids) > 0 {
		part := ids[:min(len(ids), driver.MaxBatch)]
		n, err := q.driver.Resolve(ctx, part, how)
		total += n
		if err != nil {
			return total, fmt.Errorf("jobs: %s: %w", how, err)
		}
		ids = ids[len(part):]
	}
	return total, nil
}

var (
	errCorrupt = errors.New("jobs: stored job is not readable")
	errNewer   = errors.New("jobs: job was stored by a newer version of this package")
)

func decode(body []byte) (envelope, error) {
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil || env.Kind == "" {
		return envelope{}, errCorrupt
	}
	if env.Version > envelopeVersion {
		return env, errNewer
	}
	return env, nil
}

func (q *Queue) info(s driver.Stored, env envelope) Info {
	info := Info{
		ID: s.ID, Kind: env.Kind, Tenant: env.Tenant,
		Attempt: s.Attempts + 1, MaxAttempts: env.MaxAttempts,
		Crashes: s.Crashes, LastError: s.Error,
	}
	if info.MaxAttempts == 0 {
		info.MaxAttempts = q.opts.maxAttempts()
	}
	return info
}
