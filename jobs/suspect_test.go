package jobs_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Jobs that one more crash buries are run one at a time by each worker: that of
// them which kills it takes no other along. The rest goes on beside them.
func TestSuspectsRunApart(t *testing.T) {
	bubble(t, &jobs.Options{Concurrency: 8}, func(b *bench) {
		const suspects, others = 20, 20
		for i := range suspects {
			b.enqueue(Note{N: i}, &jobs.EnqueueOptions{ID: fmt.Sprintf("suspect%02d", i)})
		}
		for crash := range 2 {
			dies := fmt.Sprint("dies", crash)
			_, err := b.d.Beat(b.Context(), driver.Beat{Worker: dies, Lease: time.Second, Join: true, MaxCrashes: 3})
			require.NoError(b, err)
			batch, err := b.d.Exchange(b.Context(), driver.Exchange{Worker: dies, Seq: 1, Want: suspects})
			require.NoError(b, err)
			require.Len(b, batch.Jobs, suspects)
			b.sleep(2 * time.Second)
			_, err = b.d.Beat(b.Context(), driver.Beat{Worker: "heir", Lease: time.Minute, Join: true, MaxCrashes: 3})
			require.NoError(b, err)
		}
		for i := range others {
			b.enqueue(Mail{To: fmt.Sprint(i)}, nil)
		}
		var running, most, done, mails atomic.Int32
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			info, _ := jobs.InfoFrom(ctx)
			if info.Crashes != 2 {
				b.Errorf("%s has %d crashes: the test shows nothing", info.ID, info.Crashes)
			}
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-time.After(time.Second)
			running.Add(-1)
			done.Add(1)
			return nil
		})
		jobs.Handle(b.q, func(context.Context, Mail) error {
			<-time.After(time.Second)
			mails.Add(1)
			return nil
		})
		stop := run(b, b.q)
		b.sleep(5 * time.Second)
		require.EqualValues(b, others, mails.Load(), "the others do not wait for them")
		b.sleep(10 * time.Minute)
		require.EqualValues(b, suspects, done.Load())
		require.EqualValues(b, 1, most.Load())
		require.NoError(b, stop())
		b.stats(jobs.Stats{})
	})
}
