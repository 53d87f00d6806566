package rediscache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
)

// Options configure a store. The zero value, like nil, is ready for use.
type Options struct {
	// Prefix begins every key and channel, followed by a colon; it must be the same in all
	// processes that share data, and different for programs that do not. Empty means "cache".
	// Braces are refused.
	Prefix string
}

func (o *Options) prefix() string {
	if o == nil || o.Prefix == "" {
		return "cache"
	}
	return o.Prefix
}

// stampTTL is the least time a stamp is kept after it was last needed. One that is gone only
// makes the values of its tag be loaded again.
const stampTTL = 7 * 24 * time.Hour

type store struct {
	rdb     redis.UniversalClient
	prefix  string
	events  string // channel
	scripts *scripts

	time      serverTime
	scattered atomic.Bool // the keys of one command must be in one slot

	mu        sync.RWMutex
	stampArgs map[string]any
}

var _ cache.Store = (*store)(nil)

// New makes a store on rdb, which the caller keeps and closes. It does no I/O. It refuses
// clients whose reads may lag behind acknowledged writes: those with client-side caching,
// those that read from replicas, and the Ring.
func New(rdb redis.UniversalClient, opts *Options) (cache.Store, error) {
	if rdb == nil {
		return nil, errors.New("rediscache: New: the client is nil")
	}
	if err := refuse(rdb); err != nil {
		return nil, err
	}
	prefix := opts.prefix()
	if strings.ContainsAny(prefix, "{}") {
		return nil, fmt.Errorf("rediscache: New: Options.Prefix %q contains a brace", prefix)
	}
	sc, err := loadScripts()
	if err != nil {
		return nil, fmt.Errorf("rediscache: New: %w", err)
	}
	s := &store{rdb: rdb, prefix: prefix, events: prefix + ":events", scripts: sc}
	_, cluster := rdb.(*redis.ClusterClient)
	s.scattered.Store(cluster)
	return s, nil
}

func refuse(rdb redis.UniversalClient) error {
	if _, ok := rdb.(*redis.Ring); ok {
		return errors.New("rediscache: New: a Ring spreads keys over servers that do not share messages; use a Cluster")
	}
	if c, ok := rdb.(interface{ Options() *redis.Options }); ok {
		if o := c.Options(); o != nil && (o.ClientSideCacheConfig != nil || o.ClientSideCache != nil) {
			return errors.New("rediscache: New: the client caches replies itself and may serve what was invalidated; " +
				"pass one without ClientSideCache and ClientSideCacheConfig")
		}
	}
	if c, ok := rdb.(interface{ Options() *redis.ClusterOptions }); ok {
		if o := c.Options(); o != nil && (o.ReadOnly || o.RouteByLatency || o.RouteRandomly) {
			return errors.New("rediscache: New: the client reads from replicas, which may serve what was invalidated; " +
				"pass one without ReadOnly, RouteByLatency and RouteRandomly")
		}
	}
	return nil
}

func (s *store) entry(key string) string { return s.prefix + ":e:{" + key + "}" }
func (s *store) appendEntry(dst []byte, key string) []byte {
	return append(append(append(append(dst, s.prefix...), ":e:{"...), key...), '}')
}

func (s *store) stamp(tag string) string { return s.prefix + ":{stamps}:" + tag }
func (s *store) clock() string           { return s.prefix + ":{stamps}" }

func (s *store) stampKeys(tags []string) []string {
	keys := make([]string, len(tags))
	for i, t := range tags {
		keys[i] = s.stamp(t)
	}
	return keys
}

// exec runs a pipeline and resends what needs the scripts' source. Errors are per command.
func (s *store) exec(ctx context.Context, pipe redis.Pipeliner, calls []*call) {
	if pipe.Len() == 0 {
		return
	}
	_, _ = pipe.Exec(ctx) // the first of the commands' errors, which callers look at one by one
	s.scripts.resend(ctx, s.rdb, calls)
}

// each runs the queued calls, one per element, in one pipeline.
func (s *store) each(ctx context.Context, op string, n int, queue func(pipe redis.Pipeliner, i int) (*call, error)) error {
	pipe := s.rdb.Pipeline()
	calls := make([]*call, n)
	for i := range calls {
		c, err := queue(pipe, i)
		if err != nil {
			return fmt.Errorf("rediscache: %s: %w", op, err)
		}
		calls[i] = c
	}
	s.exec(ctx, pipe, calls)
	for _, c := range calls {
		if err := c.cmd.Err(); err != nil {
			return fmt.Errorf("rediscache: %s: %w", op, err)
		}
	}
	return nil
}

func (s *store) Renew(ctx context.Context, leases []cache.Lease, ttl time.Duration) error {
	return s.each(ctx, "renew", len(leases), func(pipe redis.Pipeliner, i int) (*call, error) {
		l := leases[i]
		return s.scripts.queue(ctx, pipe, s.scripts.renew, []string{s.entry(l.Key)}, l.Token, ttl.Milliseconds())
	})
}

func (s *store) Abandon(ctx context.Context, leases []cache.Lease) error {
	return s.each(ctx, "abandon", len(leases), func(pipe redis.Pipeliner, i int) (*call, error) {
		l := leases[i]
		return s.scripts.queue(ctx, pipe, s.scripts.abandon, []string{s.entry(l.Key)},
			l.Token, l.Pause.Milliseconds(), s.events, filled(l.Key))
	})
}
