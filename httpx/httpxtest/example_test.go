package httpxtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

// A unit of work that cannot commit undoes what its function did.
func ExampleDB() {
	db, stock := &httpxtest.DB{}, 5
	take := httpx.Write(db, func(ctx context.Context, _ struct{}) (int, error) {
		stock--
		httpxtest.OnRollback(ctx, func() { stock++ })
		return stock, nil
	}, nil)
	for range 2 {
		w := httptest.NewRecorder()
		take.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
		fmt.Println(w.Code, stock)
		db.FailCommits(errors.New("connection lost"))
	}
	// Output:
	// 200 4
	// 500 4
}

func ExampleCache() {
	cache := &httpxtest.Cache{}
	load := func(context.Context) ([]byte, error) { return []byte("v"), nil }
	for range 2 {
		val, _, status, err := cache.GetOrLoad(context.Background(), "k", time.Minute, 0, []string{"tag"}, load)
		fmt.Println(string(val), status, err)
	}
	fmt.Println(cache.InvalidateTags(context.Background(), "tag"))
	_, _, status, _ := cache.GetOrLoad(context.Background(), "k", time.Minute, 0, []string{"tag"}, load)
	fmt.Println(status, cache.Loads())
	// Output:
	// v miss <nil>
	// v hit <nil>
	// <nil>
	// miss 2
}

// The client is what tests of handlers read best with; here it is used as its own test.
func TestClient(t *testing.T) {
	t.Parallel()
	type note struct {
		Text string `json:"text"`
	}
	echo := httpx.Write(nil, func(_ context.Context, in note) (note, error) { return in, nil }, nil)
	c := httpxtest.NewClient(t, httpx.RequestID()(echo))
	var got note
	c.Post("/", note{"hi"}).RequireStatus(http.StatusOK).RequireHeader("Content-Type", "application/json").JSON(&got)
	if got.Text != "hi" {
		t.Fatal(got)
	}
	c.Post("/", `{"text":1}`).RequireProblem(422, "invalid_input")
	c.Get("/").RequireProblem(405, "method_not_allowed")
}

// failing is a testing.TB that remembers failures instead of ending the test.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper()                  {}
func (f *failing) Context() context.Context { return context.Background() }
func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(f)
}

// What the client requires must be able to fail.
func TestClientFails(t *testing.T) {
	t.Parallel()
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "1")
		http.Error(w, r.URL.Query().Get("body"), http.StatusTeapot)
	})
	problem := func(body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Request-Id", "1")
			w.WriteHeader(404)
			_, _ = w.Write([]byte(body))
		})
	}
	const whole = `{"type":"t","title":"t","status":404,"code":"c","request_id":"1"}`
	httpxtest.NewClient(t, problem(whole)).Get("/").RequireProblem(404, "c")
	for name, use := range map[string]func(testing.TB){
		"status":     func(t testing.TB) { httpxtest.NewClient(t, plain).Get("/").RequireStatus(200) },
		"header":     func(t testing.TB) { httpxtest.NewClient(t, plain).Get("/").RequireHeader("X-Request-Id", "2") },
		"json":       func(t testing.TB) { httpxtest.NewClient(t, plain).Get("/").JSON(new(any)) },
		"plain text": func(t testing.TB) { httpxtest.NewClient(t, plain).Get("/").RequireProblem(418, "c") },
		"other code": func(t testing.TB) { httpxtest.NewClient(t, problem(whole)).Get("/").RequireProblem(404, "d") },
		"no title": func(t testing.TB) {
			httpxtest.NewClient(t, problem(`{"type":"t","status":404,"code":"c","request_id":"1"}`)).Get("/").RequireProblem(404, "c")
		},
		"status differs": func(t testing.TB) {
			httpxtest.NewClient(t, problem(`{"type":"t","title":"t","status":405,"code":"c","request_id":"1"}`)).Get("/").RequireProblem(404, "c")
		},
		"id differs": func(t testing.TB) {
			httpxtest.NewClient(t, problem(`{"type":"t","title":"t","status":404,"code":"c","request_id":"2"}`)).Get("/").RequireProblem(404, "c")
		},
		"bad body": func(t testing.TB) { httpxtest.NewClient(t, plain).Post("/", make(chan int)) },
	} {
		f := &failing{}
		func() {
			defer func() { _ = recover() }()
			use(f)
		}()
		if f.said == "" {
			t.Errorf("%s: nothing was noticed", name)
		}
	}
}

func TestDBIsAUnitOfWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &httpxtest.DB{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.InTx(ctx, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) || db.Commits() != 0 {
			t.Fatalf("a unit of work in an ended context: %v", err)
		}
		if httpxtest.OnRollback(t.Context(), func() {}) {
			t.Fatal("there is no unit of work here")
		}
		db.Repeat(1)
		runs := 0
		if err := db.InTx(t.Context(), func(context.Context) error { runs++; return nil }); err != nil || runs != 2 || db.Commits() != 1 || db.Rollbacks() != 1 {
			t.Fatalf("%v: %d runs, %d commits, %d rollbacks", err, runs, db.Commits(), db.Rollbacks())
		}
	})
}
