// Command benchmarks compares Ashlar's blocks with their peers. Peers run in
// the same process against the same servers, in turns: a figure is a ratio of
// two measurements of one round, and the median of the rounds is printed with
// the smallest and the largest.
//
//	go run ./internal/dev bench [prefix of the names, e.g. tenancy. or tenancy.rmw]
//
// Timings decide no test: they depend on the machine, ratios hardly do.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
)

// rounds is the number of times each pair is measured, after one that only
// warms up.
const rounds = 5

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		stop()
		os.Exit(1)
	}
}

// comparisons are the measurements of each block.
func comparisons() map[string]func(context.Context, *lab) error {
	return map[string]func(context.Context, *lab) error{
		"cache":   benchCache,
		"httpx":   benchLimits,
		"jobs":    benchJobs,
		"tenancy": inTurn(benchTenancy, benchRLS, benchOutbox),
	}
}

// inTurn measures one after the other.
func inTurn(benches ...func(context.Context, *lab) error) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		for _, bench := range benches {
			if err := bench(ctx, l); err != nil {
				return err
			}
		}
		return nil
	}
}

func run(ctx context.Context, prefixes []string, out io.Writer) error {
	all := comparisons()
	blocks := slices.Sorted(maps.Keys(all))
	if len(prefixes) > 0 {
		blocks = nil
	}
	for _, p := range prefixes {
		block, _, _ := strings.Cut(p, ".")
		if all[block] == nil {
			return fmt.Errorf("no comparisons for %q; there are some for %v", p, slices.Sorted(maps.Keys(all)))
		}
		if !slices.Contains(blocks, block) {
			blocks = append(blocks, block)
		}
	}
	l, err := newLab(ctx, out)
	if err != nil {
		return err
	}
	defer l.close()
	l.only = prefixes
	fmt.Fprintln(out, l.header())
	for _, b := range blocks {
		if err := all[b](ctx, l); err != nil {
			return fmt.Errorf("%s: %w", b, err)
		}
	}
	if len(l.figures) == 0 {
		return fmt.Errorf("no bench has a name that begins with one of %q", prefixes)
	}
	return l.print(out)
}

// figure is one line of the result.
type figure struct {
	Bench  string  `json:"bench"`
	Value  float64 `json:"value"` // the median
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Unit   string  `json:"unit"`
	Rounds int     `json:"rounds"`
}

func (l *lab) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "bench\tmedian\tmin\tmax\tunit\trounds")
	for _, f := range l.figures {
		fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%.4g\t%s\t%d\n", f.Bench, f.Value, f.Min, f.Max, f.Unit, f.Rounds)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	for _, f := range l.figures {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	return nil
}
