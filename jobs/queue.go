package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Queue enqueues jobs and, where Run is called, works on them. Make one with
// New. It is safe for concurrent use.
type Queue struct {
	driver driver.Driver
	opts   *Options
	pusher pusher

	mu       sync.RWMutex
	handlers map[string]handler
	entries  map[string]*entry
	changed  chan struct{} // a schedule in code was added

	expressions expressions

	rescheduled chan struct{} // a stored schedule was changed
	now         func() time.Time
	running     atomic.Bool
}

// handler runs a job of one kind on its arguments' JSON and returns its
// result's.
type handler func(ctx context.Context, args []byte) ([]byte, error)

// New makes a Queue over a driver. It starts nothing and does no I/O. Nil
// options mean the defaults; an error names the field that is wrong.
func New(d driver.Driver, opts *Options) (*Queue, error) {
	if d == nil {
		return nil, errors.New("jobs: driver is nil")
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	return &Queue{
		driver: d, opts: opts,
		pusher:   pusher{driver: d, maxDepth: opts.maxDepth()},
		handlers: map[string]handler{},
		entries:  map[string]*entry{},
		changed:  make(chan struct{}, 1),

		rescheduled: make(chan struct{}, 1),
		now:         time.Now,
	}, nil
}

// Handle registers the handler of a kind of job. A nil error finishes the job;
// any other error, a panic or a timeout is a failed attempt. Handlers run
// concurrently and, after a crash, possibly more than once: make them
// idempotent. They should end soon after their context does.
//
// Handle panics if A is a pointer or an interface, its kind is malformed or
// already has a handler, or h is nil. Register everything before Run: a job whose kind
// has no handler is put back for a worker that has one.
func Handle[A Args](q *Queue, h func(context.Context, A) error) {
	if h == nil {
		panic("jobs: Handle: handler is nil")
	}
	register(q, func(ctx context.Context, args A) ([]byte, error) { return nil, h(ctx, args) })
}

func register[A Args](q *Queue, h func(context.Context, A) ([]byte, error)) {
	var zero A
	if t := reflect.TypeFor[A](); t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		panic(fmt.Sprintf("jobs: Handle: %v is not a value type; register the struct itself", t))
	}
	kind := zero.Kind()
	if err := checkName("kind", kind); err != nil {
		panic(err.Error())
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.handlers[kind]; ok {
		panic(fmt.Sprintf("jobs: Handle: kind %q is registered twice", kind))
	}
	q.handlers[kind] = q.opts.wrap(func(ctx context.Context, data []byte) ([]byte, error) {
		var args A
		if err := json.Unmarshal(data, &args); err != nil {
			return nil, fmt.Errorf("jobs: decode %s: %w", kind, err)
		}
		return h(ctx, args)
	})
}

func (q *Queue) handler(kind string) handler {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return q.handlers[kind]
}
