package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// slowAnswers keeps back what the store answers to calls that bring outcomes.
type slowAnswers struct {
	*jobstest.Driver
	by time.Duration
}

func (s slowAnswers) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	batch, err := s.Driver.Exchange(ctx, x)
	if len(x.Done) > 0 {
		<-time.After(s.by)
	}
	return batch, err
}

// The answer of a call may come after the wake-up for a job that the call did
// not see: it must not be taken for the news.
func TestWakeUpThatOvertakesAnAnswer(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		q, err := jobs.New(slowAnswers{b.d, 100 * time.Millisecond}, &jobs.Options{Logger: quiet})
		require.NoError(b, err)
		started := make(chan time.Time, 2)
		jobs.Handle(q, func(context.Context, Mail) error {
			started <- time.Now()
			return nil
		})
		stop := run(b, q)
		b.sleep(time.Second)
		b.enqueue(Mail{}, nil)
		<-started
		b.sleep(10 * time.Millisecond) // its outcome is on the way
		before := time.Now()
		b.enqueue(Mail{}, nil)
		require.Less(b, (<-started).Sub(before), 150*time.Millisecond)
		require.NoError(b, stop())
	})
}
