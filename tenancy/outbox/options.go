package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Options configures a Relay. A nil *Options and the zero value mean the defaults.
type Options struct {
	// Name is what Sinks calls the sink; it serves humans only. Empty means the name of the sink's type.
	Name string

	// Batch is the largest number of events in one Deliver. Zero or negative means 500.
	Batch int

	// MaxPoll is the longest pause between two looks at the outbox. The pause starts at 5 ms and doubles while there is
	// nothing to do; a commit in this process ends it. Zero or negative means 100 ms.
	MaxPoll time.Duration

	// Logger gets a line when delivery starts to fail, one a minute while it fails, and one when it works again.
	// Nil means slog.Default().
	Logger *slog.Logger

	// Errors gets the errors that are logged, with a stack. Nil means that they are only logged.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}

	// Metrics counts outbox.delivered (events) and outbox.errors (attempts that failed). Nil means no metrics.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}
}

const (
	minPoll      = 5 * time.Millisecond
	maxBackoff   = 5 * time.Second
	readTime     = 2 * time.Minute  // bounds a look at the outbox; that of a sink far behind takes a second per million events
	deliverTime  = 30 * time.Second // bounds a Deliver, so that a silent sink cannot stop a relay for ever
	again        = time.Minute      // between two log lines of one failure, and two notes of where the sink stands
	defaultBatch = 500

	maxDeliverBytes = 4 << 20
)

func (o *Options) name(sink Sink) string {
	if o == nil || o.Name == "" {
		return fmt.Sprintf("%T", sink)
	}
	return o.Name
}

func (o *Options) batch() int {
	if o == nil || o.Batch <= 0 {
		return defaultBatch
	}
	return o.Batch
}

func (o *Options) maxPoll() time.Duration {
	if o == nil || o.MaxPoll <= 0 {
		return 100 * time.Millisecond
	}
	return max(o.MaxPoll, minPoll)
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

func (o *Options) count(ctx context.Context, name string, n int) {
	if o != nil && o.Metrics != nil {
		o.Metrics.Add(ctx, name, float64(n))
	}
}
