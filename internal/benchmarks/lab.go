package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// lab holds the servers and the figures of a run.
type lab struct {
	pg      *devstack.PostgresServer
	redis   *devstack.RedisServer
	redisV  string
	figures []figure
	log     io.Writer
	only    []string // prefixes of the names that run; empty means all
}

func newLab(ctx context.Context, log io.Writer) (*lab, error) {
	pg, err := devstack.Postgres(ctx, &devstack.PostgresOptions{URL: "none", TCP: true})
	if err != nil {
		return nil, err
	}
	l := &lab{pg: pg, log: log}
	if l.redis, err = devstack.Redis(ctx, &devstack.RedisOptions{URL: "none", TCP: true}); err != nil {
		return nil, errors.Join(err, pg.Close())
	}
	c := redis.NewClient(&redis.Options{Addr: l.redis.Addr})
	defer c.Close()
	info, err := c.Info(ctx, "server").Result()
	if err != nil {
		l.close()
		return nil, err
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "redis_version:"); ok {
			l.redisV = strings.TrimSpace(v)
		}
	}
	return l, nil
}

func (l *lab) close() {
	if err := errors.Join(l.pg.Close(), l.redis.Close()); err != nil {
		fmt.Fprintln(l.log, "stop the servers:", err)
	}
}

// header names the machine, Go, the servers and the peers.
func (l *lab) header() string {
	var peers []string
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			for _, peer := range []string{"hibiken/asynq", "riverqueue/river", "go-redis/cache", "redis/go-redis", "jackc/pgx", "maypok86/otter", "dgraph-io/ristretto", "redis/rueidis", "go-redis/redis_rate", "ulule/limiter", "avito-tech/go-transaction-manager/drivers/pgxv5"} {
				if strings.Contains(m.Path, peer) && !strings.Contains(m.Path, "river/") {
					peers = append(peers, peer+" "+m.Version)
				}
			}
		}
	}
	return fmt.Sprintf("machine: %s %s/%s, %d cores, load %s; %s; PostgreSQL %s, Redis %s; %s",
		cpu(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), load(), runtime.Version(), l.pg.Version, l.redisV, strings.Join(peers, ", "))
}

func cpu() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return "unknown CPU"
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

// wanted tells whether a bench of that name was asked for.
func (l *lab) wanted(bench string) bool {
	return len(l.only) == 0 || slices.ContainsFunc(l.only, func(p string) bool { return strings.HasPrefix(bench, p) })
}

// measure runs one side once and returns its reading, of whatever unit.
type measure func(context.Context) (float64, error)

// ratio measures both sides in turns and records ours divided by theirs; the
// side that goes first alternates, so that a drift of the machine hits both.
func (l *lab) ratio(ctx context.Context, bench string, ours, theirs measure) error {
	if !l.wanted(bench) {
		return nil
	}
	var values []float64
	for i := range rounds + 1 {
		sides := []measure{ours, theirs}
		if i%2 == 1 {
			slices.Reverse(sides)
		}
		var got [2]float64
		for j, side := range sides {
			runtime.GC() // the other side's garbage is not this one's cost
			v, err := side(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", bench, err)
			}
			got[j] = v
		}
		if i%2 == 1 {
			got[0], got[1] = got[1], got[0]
		}
		fmt.Fprintf(l.log, "%s round %d: ours %.5g, theirs %.5g\n", bench, i, got[0], got[1])
		if i > 0 { // the first only warms up
			values = append(values, got[0]/got[1])
		}
	}
	l.record(bench, "x", values)
	return nil
}

// call is one operation, the i-th.
type call func(ctx context.Context, i int) error

// paired measures short calls of both sides in turns, call by call, and records the ratio of their medians: what the
// machine does meanwhile hits both, and a pause hits neither median.
func (l *lab) paired(ctx context.Context, bench string, ours, theirs call) error {
	return l.pairs(ctx, bench, "x", 2000, ours, theirs, func(ours, theirs float64) float64 { return ours / theirs })
}

// pairs is paired for any comparison of the medians, which are seconds.
func (l *lab) pairs(ctx context.Context, bench, unit string, calls int, ours, theirs call, compare func(ours, theirs float64) float64) error {
	if !l.wanted(bench) {
		return nil
	}
	var values []float64
	for round := range rounds + 1 {
		var times [2][]float64
		for i := range 2 * calls {
			side := (i + i/2) % 2 // ours, theirs, theirs, ours: neither always follows itself
			start := time.Now()
			if err := [2]call{ours, theirs}[side](ctx, i/2); err != nil {
				return fmt.Errorf("%s: %w", bench, err)
			}
			times[side] = append(times[side], time.Since(start).Seconds())
		}
		var median [2]float64
		for side := range times {
			slices.Sort(times[side])
			median[side] = times[side][calls/2]
		}
		fmt.Fprintf(l.log, "%s round %d: ours %.5g, theirs %.5g\n", bench, round, median[0], median[1])
		if round > 0 { // the first only warms up
			values = append(values, compare(median[0], median[1]))
		}
	}
	l.record(bench, unit, values)
	return nil
}

// reading measures one side alone.
func (l *lab) reading(ctx context.Context, bench, unit string, one measure) error {
	if !l.wanted(bench) {
		return nil
	}
	var values []float64
	for range rounds {
		v, err := one(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", bench, err)
		}
		values = append(values, v)
	}
	l.record(bench, unit, values)
	return nil
}

func (l *lab) record(bench, unit string, values []float64) {
	slices.Sort(values)
	l.figures = append(l.figures, figure{
		Bench: bench, Value: values[len(values)/2], Min: values[0], Max: values[len(values)-1], Unit: unit, Rounds: len(values),
	})
}
