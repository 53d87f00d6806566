package analytics_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

type SignUp struct {
	Plan  string
	Seats int
}

var SignedUp = analytics.Define[SignUp]("Signed Up")

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store := analyticstest.NewStore() // in production: clickhouseanalytics.New

	a, err := analytics.New(store, &analytics.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	defer a.Close()
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()

	err = SignedUp.Track(ctx, a, SignUp{Plan: "pro", Seats: 5}) // nil: it survives kill -9
	fmt.Println("tracked:", err)
	err = a.Flush(ctx) // only because the example cannot wait for Run
	fmt.Println("flushed:", err)

	days, err := a.Series(ctx, SignedUp.Count(), analytics.Last(7*24*time.Hour), nil)
	fmt.Println("days:", len(days), err)
	seats, err := a.Value(ctx, SignedUp.Sum("seats").Where("plan", "pro"), analytics.Last(24*time.Hour), nil)
	fmt.Println("seats:", seats.Value, err)

	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// tracked: <nil>
	// flushed: <nil>
	// days: 7 <nil>
	// seats: 5 <nil>
	// stopped: <nil>
}

type ctxTenant struct{}

func ExampleNew() {
	a, err := analytics.New(analyticstest.NewStore(), &analytics.Options{
		Tenant: func(ctx context.Context) (string, bool) {
			id, ok := ctx.Value(ctxTenant{}).(string)
			return id, ok
		},
		WhenFull:      analytics.Fail, // rather an error than a slow request
		MaxBacklog:    256 << 20,
		BatchSize:     5000,
		FlushInterval: 500 * time.Millisecond,
		DrainTimeout:  3 * time.Second,
	})
	if err != nil {
		panic(err)
	}
	defer a.Close()
	acme := context.WithValue(context.Background(), ctxTenant{}, "acme")
	fmt.Println(SignedUp.Track(acme, a, SignUp{Plan: "free"}))
	fmt.Println(SignedUp.Track(context.Background(), a, SignUp{Plan: "free"}))
	// Output:
	// <nil>
	// analytics: track "Signed Up": analytics: no tenant in context
}

func ExampleDefine() {
	type Payment struct {
		At     time.Time `event:",time"` // when it happened; zero: now
		Payer  string    `event:",user"` // whose event it is
		Method string    // column method
		Amount float64   `event:"amount_eur"`
		Wait   time.Duration
		Note   string `event:"-"` // not recorded
	}
	paid := analytics.Define[Payment]("Paid")

	store := analyticstest.NewStore()
	a, err := analytics.New(store, nil)
	if err != nil {
		panic(err)
	}
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	ctx := context.Background()
	if err := paid.Track(ctx, a, Payment{At: at, Payer: "ann", Method: "card", Amount: 12, Wait: 1500 * time.Millisecond}); err != nil {
		panic(err)
	}
	if err := a.Flush(ctx); err != nil {
		panic(err)
	}
	r := store.Records()[0]
	fmt.Println(r.Name, r.User, r.Time, string(r.Props))
	p, err := paid.Decode(r)
	fmt.Println(p.Method, p.Wait, err)
	// Output:
	// Paid ann 2026-03-10 12:00:00 +0000 UTC {"method":"card","amount_eur":12.0,"wait":1.5}
	// card 1.5s <nil>
}

// Check is an event with a time of its own, a duration and a boolean.
type Check struct {
	At      time.Time `event:",time"`
	Monitor string    `event:"monitor"`
	Up      bool      `event:"up"`
	Took    time.Duration
}

func ExampleAnalytics_Series() {
	checked := analytics.Define[Check]("Checked")
	a, err := analytics.New(analyticstest.NewStore(), nil) // events wait in memory
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	noon := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for i, up := range []bool{true, true, false, true} {
		at := noon.Add(time.Duration(i) * 20 * time.Minute)
		if err := checked.Track(ctx, a, Check{At: at, Monitor: "home", Up: up, Took: 80 * time.Millisecond}); err != nil {
			panic(err)
		}
	}
	if err := a.Flush(ctx); err != nil {
		panic(err)
	}
	hours, err := a.Series(ctx, checked.Avg("up"), analytics.Between(noon, noon.Add(4*time.Hour)), &analytics.SeriesOptions{
		Interval: analytics.Hour,
		Zone:     "Europe/Berlin",
		By:       "monitor",
		Limit:    5,
	})
	if err != nil {
		panic(err)
	}
	for _, h := range hours {
		fmt.Printf("%s %s %3.0f%% of %d\n", h.Group, h.Time.Format("15:04"), 100*h.Value, h.Events)
	}
	slow, err := a.Value(ctx, checked.Quantile("took", 0.99), analytics.Between(noon, noon.Add(4*time.Hour)), nil)
	fmt.Printf("p99 %.3fs %v\n", slow.Value, err)
	// Output:
	// home 13:00  67% of 3
	// home 14:00 100% of 1
	// home 15:00   0% of 0
	// home 16:00   0% of 0
	// p99 0.080s <nil>
}

func ExampleEvent_Users() {
	a, err := analytics.New(analyticstest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	for _, user := range []string{"ann", "bob", "ann"} {
		ctx := analytics.WithUser(context.Background(), user)
		if err := SignedUp.Track(ctx, a, SignUp{Plan: "pro"}); err != nil {
			panic(err)
		}
	}
	if err := a.Flush(context.Background()); err != nil {
		panic(err)
	}
	users, err := a.Value(context.Background(), SignedUp.Users(), analytics.Last(time.Hour), nil)
	fmt.Println(users.Value, users.Events, err)
	// Output: 2 3 <nil>
}
