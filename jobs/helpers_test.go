package jobs_test

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// Mail is the job of most tests.
type Mail struct {
	To string `json:"to"`
}

func (Mail) Kind() string { return "mail.send" }

// Note is a second kind.
type Note struct{ N int }

func (Note) Kind() string { return "note" }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// bench is a queue on the fake, inside a bubble.
type bench struct {
	*testing.T
	d *jobstest.Driver
	q *jobs.Queue
}

// bubble runs f with virtual time.
func bubble(t *testing.T, opts *jobs.Options, f func(b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if opts == nil {
			opts = &jobs.Options{}
		}
		if opts.Logger == nil {
			opts.Logger = quiet
		}
		b := &bench{T: t, d: jobstest.New(t)}
		b.q = b.queue(opts)
		f(b)
	})
}

func (b *bench) queue(opts *jobs.Options) *jobs.Queue {
	b.Helper()
	q, err := jobs.New(b.d, opts)
	require.NoError(b, err)
	return q
}

func (b *bench) enqueue(args jobs.Args, opts *jobs.EnqueueOptions) jobs.Receipt {
	b.Helper()
	r, err := b.q.Enqueue(b.Context(), args, opts)
	require.NoError(b, err)
	return r
}

// run starts a queue; stop ends it and answers Run's error.
func run(t testing.TB, q *jobs.Queue) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

func (b *bench) stats(want jobs.Stats) {
	b.Helper()
	got, err := b.q.Stats(b.Context())
	require.NoError(b, err)
	require.Equal(b, want, got)
}

// sleep lets virtual time pass until the others are idle again.
func (b *bench) sleep(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// spy remembers what it is told.
type spy struct {
	mu     sync.Mutex
	ctx    context.Context // of the last report
	errs   []error
	stacks [][]byte
	counts map[string]float64
}

func (s *spy) Report(ctx context.Context, err error, stack []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx, s.errs, s.stacks = ctx, append(s.errs, err), append(s.stacks, stack)
}

func (s *spy) Add(_ context.Context, name string, n float64, _ ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[string]float64{}
	}
	s.counts[name] += n
}
