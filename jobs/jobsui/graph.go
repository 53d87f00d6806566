package jobsui

import (
	"context"
	"fmt"
	"html/template"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// The graph of a flow, in pixels: a column for each stage, with a joint before
// the next, since no job of that starts before all of this one have ended.
const (
	graphStages = 12 // columns at most
	graphJobs   = 6  // boxes in a column at most
	boxWidth    = 172
	boxHeight   = 44
	boxGap      = 10
	stageGap    = 64
	graphTop    = 46 // room for the names of the stages
)

// graph is a picture of a flow around one of its stages.
type graph struct {
	Width, Height int
	Stages        []graphStage
	Lines         []string // paths
	Joints        []point
	First, Last   int // the stages that are drawn, from 1
	Part          bool
}

type point struct{ X, Y int }

// graphStage is a column.
type graphStage struct {
	point
	URL    template.URL
	Name   string
	Text   string
	Active bool
	Boxes  []box
}

// box is a job, or all those that have no box of their own.
type box struct {
	point
	URL   template.URL
	Kind  string
	State string // its words
	Class string
	Title string
}

// Where the parts of a box stand.

// BarX is left of the text, inside the box.
func (b box) BarX() int { return b.X + 9 }

// BarY is the top of the bar that shows the state.
func (b box) BarY() int { return b.Y + 8 }

// TextX is where the lines begin.
func (b box) TextX() int { return b.X + 22 }

// FirstY is the foot of the first of two lines.
func (b box) FirstY() int { return b.Y + 19 }

// SecondY is the foot of the second of two lines.
func (b box) SecondY() int { return b.Y + 35 }

// MiddleY is the foot of an only line.
func (b box) MiddleY() int { return b.Y + 27 }

// newGraph reads what it draws: the first jobs of a window of stages.
func newGraph(ctx context.Context, q *jobs.Queue, f jobs.FlowInfo, shown int) (graph, error) {
	first := min(max(shown-graphStages/2, 0), max(len(f.Stages)-graphStages, 0))
	last := min(first+graphStages, len(f.Stages))
	g := graph{First: first + 1, Last: last, Part: last-first < len(f.Stages)}
	rows := 1
	for stage := first; stage < last; stage++ {
		boxes, err := stageBoxes(ctx, q, f, stage)
		if err != nil {
			return graph{}, err
		}
		counts := f.Stages[stage]
		text := fmt.Sprintf("%s of %s done", number(counts.Done), number(counts.Total))
		if counts.Failed > 0 {
			text += fmt.Sprintf(", %s failed", number(counts.Failed))
		}
		g.Stages = append(g.Stages, graphStage{
			point: point{X: 1 + (stage-first)*(boxWidth+stageGap)}, URL: flowURL(f.ID, stage, 0),
			Name: fmt.Sprintf("Stage %d", stage+1), Text: text, Active: stage == shown, Boxes: boxes,
		})
		rows = max(rows, len(boxes))
	}
	g.layout(rows)
	return g, nil
}

// stageBoxes are the first jobs of a stage, with the one that failed first
// among them, and one box for the rest.
func stageBoxes(ctx context.Context, q *jobs.Queue, f jobs.FlowInfo, stage int) ([]box, error) {
	total, limit := f.Stages[stage].Total, graphJobs
	if total > limit {
		limit--
	}
	entries, err := q.FlowJobs(ctx, f.ID, stage, 0, limit)
	if err != nil {
		return nil, err
	}
	if flow, at, index, ok := driver.FlowOf(f.Culprit); ok && flow == f.ID && at == stage && index >= len(entries) && len(entries) > 0 {
		culprit, err := q.FlowJobs(ctx, f.ID, stage, index, 1)
		if err != nil {
			return nil, err
		}
		entries = append(entries[:len(entries)-1], culprit...)
	}
	var boxes []box
	for _, e := range entries {
		b := box{URL: jobURL(e.Info.ID), Kind: short(e.Info.Kind, 22), State: stateWords(f, e), Class: string(e.State)}
		b.Title = e.Info.Kind + ", " + b.State
		boxes = append(boxes, b)
	}
	if rest := total - len(entries); rest > 0 {
		boxes = append(boxes, box{URL: flowURL(f.ID, stage, 0), Kind: plural("1 more job", "%d more jobs", rest), Class: "more", Title: "All jobs of this stage"})
	}
	return boxes, nil
}

// stateWords tell the state of a job, and how far it is.
func stateWords(f jobs.FlowInfo, e jobs.Entry) string {
	if e.State == jobs.Waiting && !f.Ended.IsZero() {
		return "never ran"
	}
	if p := progressOf(e.Progress); p != nil && p.Total > 0 {
		return fmt.Sprintf("%s, %d %%", e.State, min(int(100*float64(p.Done)/float64(p.Total)), 100))
	}
	return string(e.State)
}

// layout places the boxes, each column in the middle, and joins the columns.
func (g *graph) layout(rows int) {
	tall := rows*(boxHeight+boxGap) - boxGap
	g.Height = graphTop + tall + 2
	g.Width = len(g.Stages)*(boxWidth+stageGap) - stageGap + 2
	middle := graphTop + tall/2
	for i := range g.Stages {
		s := &g.Stages[i]
		y := middle - (len(s.Boxes)*(boxHeight+boxGap)-boxGap)/2
		for j := range s.Boxes {
			b := &s.Boxes[j]
			b.X, b.Y = s.X, y+j*(boxHeight+boxGap)
			if i > 0 {
				g.curve(point{s.X - stageGap/2, middle}, point{b.X, b.Y + boxHeight/2})
			}
			if i < len(g.Stages)-1 {
				g.curve(point{b.X + boxWidth, b.Y + boxHeight/2}, point{b.X + boxWidth + stageGap/2, middle})
			}
		}
		if i > 0 {
			g.Joints = append(g.Joints, point{s.X - stageGap/2, middle})
		}
	}
}

func (g *graph) curve(a, b point) {
	half := (a.X + b.X) / 2
	g.Lines = append(g.Lines, fmt.Sprintf("M%d %dC%d %d %d %d %d %d", a.X, a.Y, half, a.Y, half, b.Y, b.X, b.Y))
}

// short cuts a text that is longer than a box.
func short(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
