package redishttp

import (
	"context"
	_ "embed" // for the script
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

//go:embed lua/take.lua
var takeSource string

// argsPerBucket is the number of ARGV of lua/take.lua for each of its KEYS.
const argsPerBucket = 5

// LimitsOptions configures [NewLimits]. Nil and the zero value are ready for use.
type LimitsOptions struct {
	// Prefix begins every key, followed by a colon; it must be the same in all processes that share limits, and different
	// for programs that do not. Empty means "limits". Braces are refused.
	Prefix string
}

type limits struct {
	rdb    redis.UniversalClient
	prefix string
	take   *redis.Script
}

var _ ratelimit.Store = (*limits)(nil)

// NewLimits makes a store for limiters on rdb, which the caller keeps and closes. It does no I/O. It refuses clients whose
// options lack ContextTimeoutEnabled: they wait for a Redis that hangs much longer than a limiter asks them to. go-redis
// sends a command again when the connection breaks before the answer; such a call may count twice, never not at all, unless
// the client has MaxRetries -1.
func NewLimits(rdb redis.UniversalClient, opts *LimitsOptions) (ratelimit.Store, error) {
	if rdb == nil {
		return nil, errors.New("redishttp: NewLimits: the client is nil")
	}
	if !obeysContext(rdb) {
		return nil, errors.New("redishttp: NewLimits: the client ignores the deadlines of contexts; set ContextTimeoutEnabled in its options")
	}
	s := &limits{rdb: rdb, prefix: "limits", take: redis.NewScript(takeSource)}
	if opts != nil && opts.Prefix != "" {
		s.prefix = opts.Prefix
	}
	if strings.ContainsAny(s.prefix, "{}") {
		return nil, fmt.Errorf("redishttp: NewLimits: LimitsOptions.Prefix %q contains a brace", s.prefix)
	}
	return s, nil
}

// obeysContext takes clients of other kinds, those of tests and wrappers, at their word.
func obeysContext(rdb redis.UniversalClient) bool {
	switch c := rdb.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return c.Options().ContextTimeoutEnabled
	}
	return true
}

func (s *limits) key(group, key string) string { return s.prefix + ":{" + group + "}:" + key }

// Take implements [ratelimit.Store].
func (s *limits) Take(ctx context.Context, group string, takes []ratelimit.Take) ([]ratelimit.Span, bool, error) {
	keys, args := make([]string, len(takes)), make([]any, 0, argsPerBucket*len(takes))
	for i, t := range takes {
		keys[i] = s.key(group, t.Key)
		args = append(args, t.Add.Micros, t.Add.Parts, t.Room.Micros, t.Room.Parts, limit(t))
	}
	answer, err := s.take.Run(ctx, s.rdb, keys, args...).Slice()
	if err != nil {
		return nil, false, fmt.Errorf("redishttp: take: %w", err)
	}
	if len(answer) != 1+2*len(takes) {
		return nil, false, fmt.Errorf("redishttp: take: %d numbers for %d buckets", len(answer), len(takes))
	}
	backlogs := make([]ratelimit.Span, len(takes))
	taken, ok := answer[0].(int64)
	for i := range backlogs {
		micros, ok1 := answer[1+2*i].(int64)
		parts, ok2 := answer[2+2*i].(int64)
		backlogs[i], ok = ratelimit.Span{Micros: micros, Parts: parts}, ok && ok1 && ok2
	}
	if !ok {
		return nil, false, errors.New("redishttp: take: the answer is not made of numbers")
	}
	return backlogs, taken == 1, nil
}

// limit is what a bucket was left with, which the script compares.
func limit(t ratelimit.Take) string {
	buf := make([]byte, 0, 32)
	buf = append(strconv.AppendInt(buf, t.Rate, 10), ':')
	return string(strconv.AppendInt(buf, t.Per, 10))
}

// Reset implements [ratelimit.Store].
func (s *limits) Reset(ctx context.Context, group string, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = s.key(group, key)
	}
	if err := s.rdb.Del(ctx, names...).Err(); err != nil {
		return fmt.Errorf("redishttp: reset: %w", err)
	}
	return nil
}
