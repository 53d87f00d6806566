package jobsui

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

const (
	chartMinutes = 60
	chartWidth   = 600
	chartHeight  = 120
)

// chart is the last hour of a queue, in the units of its SVG.
type chart struct {
	Width, Height int
	Bars          []bar
	Wait95, Run95 string // polylines
	MaxRate       int    // jobs per minute at the top
	MaxTime       time.Duration
	Finished      int
	Failed        int
	Wait50        time.Duration
	WaitTop       time.Duration // 95th percentile of the hour
	Run50, RunTop time.Duration
	Empty         bool
}

type bar struct {
	X, Width          float64
	DoneY, DoneHeight float64
	FailY, FailHeight float64
	Title             string
}

// newChart draws the hour that ends with now's minute.
func newChart(now time.Time, history []driver.Minute) chart {
	c := chart{Width: chartWidth, Height: chartHeight, Empty: true}
	var minutes [chartMinutes]driver.Tally
	first := now.UTC().Truncate(time.Minute).Add(-(chartMinutes - 1) * time.Minute)
	var wait, run driver.Histogram
	for _, m := range history {
		i := int(m.At.Sub(first) / time.Minute)
		if m.At.Before(first) || i >= chartMinutes {
			continue
		}
		minutes[i] = m.Tally
		c.Finished += m.Finished
		c.Failed += m.Failed
		for b := range wait {
			wait[b] += m.Wait[b]
			run[b] += m.Run[b]
		}
		c.MaxRate = max(c.MaxRate, m.Finished+m.Failed)
		c.MaxTime = max(c.MaxTime, quantile(m.Wait, .95), quantile(m.Run, .95))
		c.Empty = false
	}
	c.Wait50, c.WaitTop = quantile(wait, .5), quantile(wait, .95)
	c.Run50, c.RunTop = quantile(run, .5), quantile(run, .95)
	c.MaxRate = nice(c.MaxRate)
	var waits, runs strings.Builder
	step := float64(chartWidth) / chartMinutes
	for i, m := range minutes {
		x := float64(i) * step
		done := float64(m.Finished) / float64(c.MaxRate) * chartHeight
		fail := float64(m.Failed) / float64(c.MaxRate) * chartHeight
		c.Bars = append(c.Bars, bar{
			X: x + 1, Width: step - 2,
			DoneY: chartHeight - done, DoneHeight: done,
			FailY: chartHeight - done - fail, FailHeight: fail,
			Title: fmt.Sprintf("%s: %s finished, %s failed", first.Add(time.Duration(i)*time.Minute).Format("15:04 UTC"), number(m.Finished), number(m.Failed)),
		})
		if m.Finished+m.Failed > 0 {
			fmt.Fprintf(&waits, "%.1f,%.1f ", x+step/2, c.height(quantile(m.Wait, .95)))
			fmt.Fprintf(&runs, "%.1f,%.1f ", x+step/2, c.height(quantile(m.Run, .95)))
		}
	}
	c.Wait95, c.Run95 = strings.TrimSpace(waits.String()), strings.TrimSpace(runs.String())
	return c
}

// height places a duration on a logarithmic scale: 1 ms at the bottom.
func (c chart) height(d time.Duration) float64 {
	top := math.Log1p(max(float64(c.MaxTime.Milliseconds()), 1))
	return chartHeight - math.Log1p(float64(d.Milliseconds()))/top*chartHeight
}

// nice rounds up to 1, 2 or 5 times a power of ten.
func nice(n int) int {
	for p := 1; ; p *= 10 {
		for _, m := range []int{1, 2, 5} {
			if m*p >= n {
				return m * p
			}
		}
	}
}

// quantile is the upper bound of the bucket in which the q-th part ends.
func quantile(h driver.Histogram, q float64) time.Duration {
	total := 0
	for _, n := range h {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank, seen := int(math.Ceil(q*float64(total))), 0
	for i, n := range h {
		if seen += n; seen >= rank {
			return time.Millisecond << i
		}
	}
	return time.Millisecond << (len(h) - 1)
}
