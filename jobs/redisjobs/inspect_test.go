package redisjobs_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// asked counts what workers' hashes are asked for.
type asked struct {
	redis.Hook
	commands, fields int
}

func (a *asked) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (a *asked) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (a *asked) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, list []redis.Cmder) error {
		for _, c := range list {
			if c.Name() == "hmget" {
				a.commands++
				a.fields += len(c.Args()) - 2
			}
		}
		return next(ctx, list)
	}
}

// A page of running jobs asks each worker for its own at most, not for all.
func TestRunningPagesAskEachWorkerForItsOwn(t *testing.T) {
	t.Parallel()
	const workers, each, page = 30, 4, 10
	rdb := testenv.Redis(t)
	d, err := redisjobs.New(rdb, nil)
	require.NoError(t, err)
	list := bulk(workers * each)
	for i := range list {
		list[i].ID = fmt.Sprintf("job%03d", i)
	}
	_, err = d.Push(t.Context(), driver.Push{Jobs: list})
	require.NoError(t, err)
	holds := map[string]string{}
	for i := range workers {
		worker := fmt.Sprintf("w%02d", i)
		_, err = d.Beat(t.Context(), driver.Beat{Worker: worker, Lease: time.Hour, Join: true})
		require.NoError(t, err)
		batch, err := d.Exchange(t.Context(), driver.Exchange{Worker: worker, Seq: 1, Want: each})
		require.NoError(t, err)
		for _, job := range batch.Jobs {
			holds[job.ID] = worker
		}
	}
	require.Len(t, holds, workers*each)

	count := &asked{}
	rdb.AddHook(count)
	running, err := d.List(t.Context(), driver.ListQuery{State: driver.Running, Offset: 7, Limit: page})
	require.NoError(t, err)
	shown := map[string]string{}
	for _, job := range running {
		require.Equal(t, holds[job.ID], job.Worker)
		shown[job.ID] = job.Worker
	}
	require.Len(t, shown, page)
	require.Equal(t, page, count.fields, "ids asked for, by %d commands", count.commands)
	require.LessOrEqual(t, count.commands, page/each+2)
}
