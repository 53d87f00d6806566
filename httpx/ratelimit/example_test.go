package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

// A limit for each address in front of a sign-up. For several processes: redishttp.NewLimits in place of NewMemory.
func ExampleLimiter_Middleware() {
	lim, err := ratelimit.New(ratelimit.NewMemory(nil), "signup", []ratelimit.Limit{{Rate: 2, Per: time.Hour}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("POST /signup", lim.Middleware(&ratelimit.MiddlewareOptions{Key: ratelimit.ByClientIP})(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "welcome") })))
	h := httpx.Default(mux, nil)
	for range 3 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/signup", nil))
		fmt.Println(w.Code, w.Header().Get("RateLimit-Policy"))
	}
	// Output:
	// 200 "signup";q=2;w=3600
	// 200 "signup";q=2;w=3600
	// 429 "signup";q=2;w=3600
}

// A job that sends text messages, for each tenant so many an hour and so many a day: both are counted, or neither.
func ExampleLimiter_AllowN() {
	sms, err := ratelimit.New(ratelimit.NewMemory(nil), "sms", []ratelimit.Limit{
		{Name: "hour", Rate: 60, Per: time.Hour, Burst: 10},
		{Name: "day", Rate: 1000, Per: 24 * time.Hour},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, segments := range []int64{8, 3, 2} {
		d, err := sms.AllowN(context.Background(), "acme", segments)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(segments, d.Allowed, d.DeniedBy, d.States[0].Remaining, d.States[1].Remaining, d.RetryAfter.Round(time.Minute))
	}
	// Output:
	// 8 true  2 992 0s
	// 3 false sms.hour 2 992 1m0s
	// 2 true  0 990 0s
}

// An error for callers that have nothing else to do with a decision.
func ExampleDecision_Err() {
	lim, err := ratelimit.New(ratelimit.NewMemory(nil), "export", []ratelimit.Limit{{Rate: 1, Per: time.Hour}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		d, err := lim.Allow(context.Background(), "acme")
		if err == nil {
			err = d.Err()
		}
		denied, ok := errors.AsType[*ratelimit.DeniedError](err)
		fmt.Println(ok, ok && denied.Decision.RetryAfter > 59*time.Minute)
	}
	// Output:
	// false false
	// true true
}

type plan struct{}

// Limits by plan: tenancy.IDFrom and a registry.Setting stand for the two functions in a program.
func ExampleOptions_plans() {
	tenant := func(ctx context.Context) (string, bool) { return "acme", true }
	limits := func(ctx context.Context) ([]ratelimit.Limit, error) {
		if ctx.Value(plan{}) == "pro" {
			return []ratelimit.Limit{{Rate: 1000, Per: time.Hour}}, nil
		}
		return nil, nil // those of New
	}
	lim, err := ratelimit.New(ratelimit.NewMemory(nil), "api", []ratelimit.Limit{{Rate: 10, Per: time.Hour}},
		&ratelimit.Options{Tenant: tenant, Limits: limits})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	d, _ := lim.AllowN(ctx, "", 10)
	fmt.Println(d.Allowed, d.States[0].Remaining)
	d, _ = lim.Allow(ctx, "")
	fmt.Println(d.Allowed)
	d, _ = lim.Allow(context.WithValue(ctx, plan{}, "pro"), "")
	fmt.Println(d.Allowed, d.States[0].Remaining)
	// Output:
	// true 0
	// false
	// true 989
}

// A login fails closed: without the store nobody can try passwords, and a success gives the tries back.
func ExampleLimiter_Reset() {
	store := httpxtest.NewLimits()
	login, err := ratelimit.New(store, "login", []ratelimit.Limit{{Rate: 3, Per: time.Hour}}, &ratelimit.Options{Failure: ratelimit.FailClosed})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	d, _ := login.AllowN(ctx, "ann@example.com", 3)
	fmt.Println(d.Allowed, d.States[0].Remaining)
	fmt.Println(login.Reset(ctx, "ann@example.com"))
	d, _ = login.Allow(ctx, "ann@example.com")
	fmt.Println(d.Allowed, d.States[0].Remaining)
	store.Fail(errors.New("the network is down"))
	_, err = login.Allow(ctx, "ann@example.com")
	fmt.Println(err)
	// Output:
	// true 0
	// <nil>
	// true 2
	// ratelimit: the store is not available: the network is down
}
