package analytics

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Policy is what Track does while the backlog is at Options.MaxBacklog.
type Policy uint8

const (
	// Block waits until there is room or the context ends.
	Block Policy = iota
	// Drop discards the event and returns nil. It is counted in Stats.Dropped and as a metric, and logged once per episode.
	Drop
	// Fail returns [ErrFull].
	Fail
)

// Options configures [New]. nil means the defaults.
type Options struct {
	// Dir is the directory of the write-ahead log, created if missing, owned by one process at a time. Events in it are
	// sent by the next process that opens it. Empty: events wait in memory and die with the process.
	Dir string
	// Tenant returns the tenant of a context; see the package documentation. nil: a single tenant.
	Tenant func(context.Context) (id string, ok bool)
	// WhenFull is what Track does when the backlog is full. Zero: [Block].
	WhenFull Policy
	// MaxBacklog bounds the bytes of events not delivered yet. Zero: 1 GiB with Dir, 64 MiB without. Negative is an error.
	// On disk, up to 16 MiB of delivered events come on top.
	MaxBacklog int64
	// BatchSize is how many events make a batch that is sent without waiting for FlushInterval, and the most that a batch
	// holds; 8 MiB is the other bound. Zero: 10 000. Negative or over 1 000 000 is an error.
	BatchSize int
	// FlushInterval is how long Run collects events before it sends what there is. Zero: one second. Negative is an error.
	FlushInterval time.Duration
	// DrainTimeout is how long Run keeps sending after its context ended. Zero: five seconds. Negative: not at all.
	DrainTimeout time.Duration
	// Logger gets outages, damage and drops. nil: slog.Default().
	Logger *slog.Logger
	// Errors gets what no caller sees: failing deliveries (once per outage), refused events, damage. nil: nobody.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}
	// Metrics gets the counters of [Stats] as analytics.tracked, .sent, .retried, .dropped, .dead and .damaged. nil: nobody.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}
}

func (o *Options) validate() error {
	if o == nil {
		return nil
	}
	switch {
	case o.WhenFull > Fail:
		return fmt.Errorf("analytics: Options.WhenFull %d is unknown", o.WhenFull)
	case o.MaxBacklog < 0:
		return fmt.Errorf("analytics: Options.MaxBacklog is negative")
	case o.BatchSize < 0 || o.BatchSize > 1_000_000:
		return fmt.Errorf("analytics: Options.BatchSize %d is outside 0 to 1 000 000", o.BatchSize)
	case o.FlushInterval < 0:
		return fmt.Errorf("analytics: Options.FlushInterval is negative")
	}
	return nil
}

func (o *Options) dir() string {
	if o == nil {
		return ""
	}
	return o.Dir
}

func (o *Options) whenFull() Policy {
	if o == nil {
		return Block
	}
	return o.WhenFull
}

func (o *Options) maxBacklog() int64 {
	switch {
	case o != nil && o.MaxBacklog > 0:
		return o.MaxBacklog
	case o.dir() != "":
		return 1 << 30
	}
	return 64 << 20
}

func (o *Options) batchSize() int {
	if o == nil || o.BatchSize == 0 {
		return 10_000
	}
	return o.BatchSize
}

func (o *Options) flushInterval() time.Duration {
	if o == nil || o.FlushInterval == 0 {
		return time.Second
	}
	return o.FlushInterval
}

func (o *Options) drainTimeout() time.Duration {
	if o == nil || o.DrainTimeout == 0 {
		return 5 * time.Second
	}
	return max(o.DrainTimeout, 0)
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

func (o *Options) report(ctx context.Context, err error) {
	if o != nil && o.Errors != nil {
		o.Errors.Report(ctx, err, nil)
	}
}

func (o *Options) count(ctx context.Context, name string, n int) {
	if o != nil && o.Metrics != nil {
		o.Metrics.Add(ctx, "analytics."+name, float64(n))
	}
}
