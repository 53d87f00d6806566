package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// Render makes one page of a document.
type Render struct{ Page int }

// Kind is the job's stable name.
func (Render) Kind() string { return "page.render" }

// Bind makes a document of its pages.
type Bind struct{ Title string }

// Kind is the job's stable name.
func (Bind) Kind() string { return "document.bind" }

// Complain tells somebody.
type Complain struct{}

// Kind is the job's stable name.
func (Complain) Kind() string { return "complain" }

// Two pages side by side, then a document of both.
func ExampleQueue_Start() {
	ctx, cancel := context.WithCancel(context.Background())
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	jobs.HandleResult(q, func(_ context.Context, r Render) (string, error) {
		return fmt.Sprintf("page %d", r.Page), nil
	})
	jobs.HandleResult(q, func(ctx context.Context, b Bind) (string, error) {
		defer cancel()
		pages, err := jobs.Inputs[string](ctx)
		return b.Title + ": " + strings.Join(pages, ", "), err
	})
	flow, err := q.Start(ctx, jobs.Flow{
		Name: "document",
		Stages: [][]jobs.Item{
			jobs.Items(Render{Page: 1}, Render{Page: 2}),
			jobs.Items(Bind{Title: "manual"}),
		},
	})
	if err != nil {
		panic(err)
	}
	_ = q.Run(ctx)

	ctx = context.Background()
	info, _ := q.Flow(ctx, flow.ID)
	fmt.Printf("%s %s %+v\n", info.Name, info.State, info.Stages)
	documents, _ := jobs.Outputs[string](ctx, q, flow.ID)
	fmt.Println(documents[0])
	// Output:
	// document done [{Total:2 Done:2 Failed:0} {Total:1 Done:1 Failed:0}]
	// manual: page 1, page 2
}

// A chain is a flow whose stages have one job each.
func ExampleFlow_chain() {
	ctx, cancel := context.WithCancel(context.Background())
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	jobs.HandleResult(q, func(ctx context.Context, r Render) (int, error) {
		before, err := jobs.Inputs[int](ctx)
		fmt.Println("page", r.Page, "after", before)
		if r.Page == 3 {
			cancel()
		}
		return r.Page, err
	})
	_, err := q.Start(ctx, jobs.Flow{Stages: [][]jobs.Item{
		jobs.Items(Render{Page: 1}),
		jobs.Items(Render{Page: 2}),
		jobs.Items(Render{Page: 3}),
	}})
	if err != nil {
		panic(err)
	}
	_ = q.Run(ctx)
	// Output:
	// page 1 after []
	// page 2 after [1]
	// page 3 after [2]
}

func ExampleFlow_failure() {
	ctx, cancel := context.WithCancel(context.Background())
	q, _ := jobs.New(jobstest.NewDriver(), &jobs.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	jobs.HandleResult(q, func(_ context.Context, r Render) (string, error) {
		return "", jobs.Discard(errors.New("no such font")) // dead at once
	})
	jobs.Handle(q, func(ctx context.Context, _ Complain) error {
		info, _ := jobs.InfoFrom(ctx)
		flow, err := q.Flow(ctx, info.Flow)
		fmt.Println(flow.State, flow.Error)
		cancel()
		return err
	})
	_, err := q.Start(ctx, jobs.Flow{
		Stages:    [][]jobs.Item{jobs.Items(Render{Page: 1}), jobs.Items(Bind{Title: "manual"})},
		OnFailure: &jobs.Item{Args: Complain{}},
	})
	if err != nil {
		panic(err)
	}
	_ = q.Run(ctx)
	// Output: failed no such font
}
