package redisjobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Options configure a Driver. A nil pointer means the zero value.
type Options struct {
	// Queue names the queue. Each queue has its own workers, schedules and
	// outbox cursor. Empty means "default". It cannot contain braces or blanks.
	Queue string

	// Prefix begins every key. Empty means "jobs".
	Prefix string

	// AllowEviction skips the check that refuses a server with an allkeys
	// eviction policy (ErrEvicts). False means checked.
	AllowEviction bool
}

// ErrEvicts answers the first call, whichever it is, to a server that throws
// keys away when it is full: jobs would get lost. Its text names the policy and,
// of a Cluster, whose every reachable node is asked, the node. Set its
// maxmemory-policy to noeviction and go on, without a restart;
// Options.AllowEviction takes the risk. Replicas behind Sentinels are not asked.
var ErrEvicts = errors.New("redisjobs: Redis evicts keys and would lose jobs")

// Driver is one queue in Redis. Make one with New. It is safe for concurrent
// use and holds no connection but the one a Wait blocks on.
type Driver struct {
	rdb    redis.UniversalClient
	opts   *Options
	prefix string
	keys   map[string][]any // by the name of the script

	scripts atomic.Pointer[scripts] // nil before the first call
}

var (
	_ driver.Driver     = (*Driver)(nil)
	_ driver.Positioner = (*Driver)(nil)
	_ driver.Controller = (*Driver)(nil)
	_ driver.Finder     = (*Driver)(nil)
	_ driver.Sweeper    = (*Driver)(nil)
	_ driver.Nudger     = (*Driver)(nil)
	_ driver.Historian  = (*Driver)(nil)
	_ driver.Overseer   = (*Driver)(nil)
	_ driver.Scheduler  = (*Driver)(nil)
	_ driver.Flower     = (*Driver)(nil)
)

// New returns the driver of one queue. It does no I/O; the first call finds
// out what the server can do. The caller keeps and closes the client, which
// may be shared: one connection per running queue is blocked most of the time.
func New(rdb redis.UniversalClient, opts *Options) (*Driver, error) {
	if rdb == nil {
		return nil, errors.New("redisjobs: client is nil")
	}
	queue, prefix := "default", "jobs"
	if opts != nil && opts.Queue != "" {
		queue = opts.Queue
	}
	if opts != nil && opts.Prefix != "" {
		prefix = opts.Prefix
	}
	if strings.ContainsAny(queue, "{} \t\r\n") || strings.ContainsAny(prefix, "{} \t\r\n") {
		return nil, errors.New("redisjobs: Options.Queue and Options.Prefix cannot contain braces or blanks")
	}
	d := &Driver{rdb: rdb, opts: opts, prefix: prefix + ":{" + queue + "}:"}
	d.prepareKeys()
	return d, nil
}

// Queues lists the queues below a prefix that have a job, a worker, a schedule or
// a limit, in order; "" is the default prefix. It goes through all keys of the
// server, a thousand at a time, and is for tools, not for programs.
func Queues(ctx context.Context, rdb redis.UniversalClient, prefix string) ([]string, error) {
	if prefix == "" {
		prefix = "jobs"
	}
	var mu sync.Mutex
	found := map[string]bool{}
	scan := func(ctx context.Context, node redis.Cmdable) error {
		keys := node.Scan(ctx, 0, globEscaper.Replace(prefix)+":{*}:*", 1000).Iterator()
		for keys.Next(ctx) {
			rest := strings.TrimPrefix(keys.Val(), prefix+":{")
			if name, _, ok := strings.Cut(rest, "}:"); ok {
				mu.Lock()
				found[name] = true
				mu.Unlock()
			}
		}
		return keys.Err()
	}
	var err error
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return scan(ctx, node) })
	} else {
		err = scan(ctx, rdb)
	}
	if err != nil {
		return nil, fmt.Errorf("redisjobs: queues: %w", err)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

var globEscaper = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `\`, `\\`)
