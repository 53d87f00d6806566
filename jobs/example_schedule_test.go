package jobs_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// CheckMonitor is the job of a customer's monitor.
type CheckMonitor struct {
	ID int64 `json:"id"`
}

// Kind is the job's stable name.
func (CheckMonitor) Kind() string { return "monitor.check" }

// One schedule a monitor: added when the customer makes it, changed and removed
// with it. H spreads them over the minute.
func ExampleQueue_Schedule() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), nil)

	fmt.Println(q.Schedule(ctx, "monitor-42", "H * * * * *", CheckMonitor{ID: 42}, &jobs.CronOptions{NoOverlap: true}))
	fmt.Println(q.Schedule(ctx, "monitor-43", "61 * * * *", CheckMonitor{ID: 43}, nil))
	n, err := q.Unschedule(ctx, "monitor-42", "monitor-43")
	fmt.Println(n, err)
	// Output:
	// <nil>
	// jobs: schedule monitor-43: field 1 (minute) "61": 61 is not within 0-59
	// 1 <nil>
}

func ExampleQueue_Schedules() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	for id := range int64(3) {
		_ = q.Schedule(ctx, fmt.Sprint("monitor-", id), "@hourly", CheckMonitor{ID: id}, nil)
	}
	for cursor := ""; ; {
		page, next, err := q.Schedules(ctx, cursor, 100)
		if err != nil {
			panic(err)
		}
		for _, s := range page {
			fmt.Println(s.Name, s.Spec, s.Kind, string(s.Args))
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	// Output:
	// monitor-0 @hourly monitor.check {"id":0}
	// monitor-1 @hourly monitor.check {"id":1}
	// monitor-2 @hourly monitor.check {"id":2}
}

func ExampleQueue_RunNow() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	_ = q.Schedule(ctx, "monitor-42", "@hourly", CheckMonitor{ID: 42}, nil)

	receipt, err := q.RunNow(ctx, "monitor-42")
	fmt.Println(receipt.ID != "", err)
	_, err = q.RunNow(ctx, "monitor-7")
	fmt.Println(err)
	// Output:
	// true <nil>
	// jobs: run schedule "monitor-7": jobs: no such schedule
}

func ExampleQueue_PauseSchedule() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	_ = q.Schedule(ctx, "monitor-42", "@hourly", CheckMonitor{ID: 42}, nil)

	fmt.Println(q.PauseSchedule(ctx, "monitor-42"))
	page, _, _ := q.Schedules(ctx, "", 10)
	fmt.Println(page[0].Paused)
	fmt.Println(q.ResumeSchedule(ctx, "monitor-42"))
	// Output:
	// <nil>
	// true
	// <nil>
}

// What a form shows before a customer saves an expression. The clocks are put
// forward on 29 March.
func ExampleSchedule_Next() {
	s := jobs.Schedule{Name: "report", Spec: "30 2 * * *", Options: jobs.CronOptions{Zone: "Europe/Berlin"}}
	next, err := s.Next(time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC), 3)
	if err != nil {
		panic(err)
	}
	berlin, _ := time.LoadLocation("Europe/Berlin")
	for _, at := range next {
		fmt.Println(at.In(berlin).Format("Mon 2 Jan 15:04 MST"))
	}
	// Output:
	// Sat 28 Mar 02:30 CET
	// Sun 29 Mar 03:00 CEST
	// Mon 30 Mar 02:30 CEST
}
