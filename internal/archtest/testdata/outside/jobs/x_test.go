package outside

import (
	"context"
	"testing"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

type greet struct{ Name string }

func (greet) Kind() string { return "greet" }

func TestJobRuns(t *testing.T) {
	driver := jobstest.New(t)
	q, err := jobs.New(driver, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	jobs.Handle(q, func(_ context.Context, g greet) error {
		done <- g.Name
		return nil
	})
	if _, err := q.Enqueue(t.Context(), greet{Name: "Ann"}, nil); err != nil {
		t.Fatal(err)
	}
	jobstest.Drain(t, driver, q)
	if got := <-done; got != "Ann" {
		t.Errorf("greeted %q", got)
	}
}
