package record_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// Task is a row of app.tasks.
type Task struct {
	record.Base
	Title string
	State string `enum:"open,done"`
	Stars int
}

func tasks() *record.Table[Task] {
	return record.Define[Task]("app.tasks", &record.Options{Unique: []record.Unique{{Columns: []string{"title"}}}})
}

func Example() {
	tasks, db := tasks(), tenancytest.NewKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")

	task := Task{Title: "paint", State: "open"}
	if err := tasks.Save(ctx, db, &task); err != nil {
		panic(err)
	}
	task.State = "done"
	if err := tasks.Save(ctx, db, &task); err != nil {
		panic(err)
	}
	found, err := tasks.FindBy(ctx, db, "title = $1", "paint")
	fmt.Println(found.State, found.Version, err)

	_, err = tasks.Find(tenancy.WithID(ctx, "globex"), db, task.ID)
	fmt.Println(errors.Is(err, tenancy.ErrNotFound))
	// Output:
	// done 2 <nil>
	// true
}

// Two programs load the same version; the second one to save it is told so.
func ExampleTable_Save_stale() {
	tasks, db := tasks(), tenancytest.NewKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	mine := Task{Title: "paint"}
	_ = tasks.Save(ctx, db, &mine)
	theirs, _ := tasks.Find(ctx, db, mine.ID)

	mine.Stars = 1
	fmt.Println(tasks.Save(ctx, db, &mine))
	theirs.Stars = 2
	fmt.Println(errors.Is(tasks.Save(ctx, db, &theirs), tenancy.ErrStale))
	// Output:
	// <nil>
	// true
}

func ExampleTable_Page() {
	tasks, db := tasks(), tenancytest.NewKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	list := []Task{{Title: "a", Stars: 1}, {Title: "b", Stars: 5}, {Title: "c", Stars: 3}}
	if err := tasks.InsertAll(ctx, db, list); err != nil {
		panic(err)
	}
	query := record.Query{Order: "-stars", Limit: 2}
	for {
		page, err := tasks.Page(ctx, db, query)
		if err != nil {
			panic(err)
		}
		for _, task := range page.Items {
			fmt.Println(task.Title, task.Stars)
		}
		if page.Next == "" {
			break
		}
		query.After = page.Next // opaque to the client, and bound to the tenant, the order and the condition
	}
	query.After = "forged"
	_, err := tasks.Page(ctx, db, query)
	fmt.Println(err)
	// Output:
	// b 5
	// c 3
	// a 1
	// record: cursor is not valid here; begin at the first page
}

// An expression is computed by the database, so nothing is lost between a read and a write.
func ExampleTable_Update() {
	tasks, db := tasks(), tenancytest.NewKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	_ = tasks.InsertAll(ctx, db, []Task{{Title: "a", Stars: 1}, {Title: "b", Stars: 5}})
	n, err := tasks.Update(ctx, db, "stars = stars + $1", "stars + $1 <= $2", 2, 5)
	fmt.Println(n, err)
	// Output: 1 <nil>
}

func ExampleConstraintError() {
	tasks, db := tasks(), tenancytest.NewKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	_ = tasks.Save(ctx, db, &Task{Title: "paint"})
	err := tasks.Save(ctx, db, &Task{Title: "paint"})
	if conflict, ok := errors.AsType[*record.ConstraintError](err); ok {
		fmt.Println(errors.Is(err, record.ErrConflict), conflict.Columns)
	}
	// Output: true [title]
}

// A worker takes a task that nobody else works on.
func ExampleTable_First_queue() {
	tasks, db := tasks(), tenancytest.NewKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	_ = tasks.InsertAll(ctx, db, []Task{{Title: "a", State: "open"}, {Title: "b", State: "open"}})
	err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		task, err := tasks.First(ctx, tx, record.Query{Where: "state = 'open'", Order: "id", Lock: record.SkipLocked})
		if err != nil {
			return err
		}
		task.State = "done"
		return tasks.SaveLater(tx, &task)
	})
	open, _ := tasks.Count(ctx, db, record.Query{Where: "state = 'open'"})
	fmt.Println(open, err)
	// Output: 1 <nil>
}

func ExampleTable_Upsert() {
	tasks, db := tasks(), tenancytest.NewKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	for stars := range 3 {
		task := Task{Title: "paint", Stars: stars}
		if err := tasks.Upsert(ctx, db, &task, "title"); err != nil {
			panic(err)
		}
	}
	list, _ := tasks.List(ctx, db, record.Query{})
	fmt.Println(len(list), list[0].Stars, list[0].Version)
	// Output: 1 2 3
}

func ExampleTable_Describe() {
	for _, c := range tasks().Describe().Columns {
		if !c.ReadOnly {
			fmt.Println(c.Name, c.Kind, c.Choices)
		}
	}
	// Output:
	// title text []
	// state text [open done]
	// stars integer []
}
