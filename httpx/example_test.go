package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

type Note struct {
	ID   int    `json:"id"`
	Body string `json:"body"`
}

type GetNote struct {
	ID int `path:"id"`
}

type NewNote struct {
	Body string `json:"body"`
}

func (n NewNote) Validate() error {
	if n.Body == "" {
		return httpx.FieldErrors{{Pointer: "/body", Code: "required", Detail: "must not be empty"}}
	}
	return nil
}

// Notes is a service: plain functions from input to output, without HTTP.
type Notes struct {
	mu    sync.Mutex
	notes []Note
}

func (s *Notes) Get(_ context.Context, in GetNote) (Note, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.ID < 1 || in.ID > len(s.notes) {
		return Note{}, httpx.NewProblem(http.StatusNotFound, "note_not_found", "There is no such note.")
	}
	return s.notes[in.ID-1], nil
}

func (s *Notes) Create(_ context.Context, in NewNote) (Note, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := Note{ID: len(s.notes) + 1, Body: in.Body}
	s.notes = append(s.notes, n)
	return n, nil
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	svc, db, hub := &Notes{}, &httpxtest.DB{}, &httpxtest.Cache{}

	mux := http.NewServeMux()
	mux.Handle("GET /notes/{id}", httpx.Read(svc.Get, &httpx.ReadOptions{Cache: hub, Fresh: time.Minute}))
	mux.Handle("POST /notes", httpx.Write(db, svc.Create, nil))
	err := httpx.Run(ctx, "127.0.0.1:0", httpx.Default(mux, &httpx.DefaultOptions{Logger: quiet()}), &httpx.RunOptions{
		Ready: func(addr net.Addr) {
			go func() {
				defer cancel()
				base := "http://" + addr.String()
				post, _ := http.Post(base+"/notes", "application/json", strings.NewReader(`{"body":"hi"}`))
				fmt.Println(post.StatusCode, text(post))
				get, _ := http.Get(base + "/notes/1")
				fmt.Println(get.StatusCode, text(get), get.Header.Get("Cache-Status"))
				get, _ = http.Get(base + "/notes/1")
				fmt.Println(get.StatusCode, text(get), get.Header.Get("Age"))
			}()
		},
	})
	fmt.Println(err)
	// Output:
	// 200 {"id":1,"body":"hi"}
	// 200 {"id":1,"body":"hi"} ashlar; fwd=miss; stored
	// 200 {"id":1,"body":"hi"} 0
	// <nil>
}

func text(r *http.Response) string {
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func call(h http.Handler, method, target, body string) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
}

func ExampleWrite() {
	svc, db, hub := &Notes{}, &httpxtest.DB{}, &httpxtest.Cache{}
	h := httpx.Write(db, svc.Create, &httpx.WriteOptions{Cache: hub, Tags: []string{"notes", "note:{id}"}, Location: "/notes/{id}"})
	call(h, "POST", "/notes", `{"body":"hi"}`)
	call(h, "POST", "/notes", `{"Body":"hi"}`)
	call(h, "POST", "/notes", `{"body":""}`)
	// Output:
	// 201 {"id":1,"body":"hi"}
	// 422 {"type":"about:blank","title":"Unprocessable Entity","status":422,"code":"invalid_input","errors":[{"pointer":"/Body","code":"unknown","detail":"is not known here"}]}
	// 422 {"type":"about:blank","title":"Unprocessable Entity","status":422,"code":"invalid_input","errors":[{"pointer":"/body","code":"required","detail":"must not be empty"}]}
}

func ExampleRead() {
	type Search struct {
		Text  string   `query:"q"`
		Tags  []string `query:"tag"`
		Limit *int     `query:"limit"`
	}
	h := httpx.Read(func(_ context.Context, in Search) (string, error) {
		return fmt.Sprint(in.Text, in.Tags, in.Limit == nil), nil
	}, nil)
	call(h, "GET", "/notes?q=hi&tag=a&tag=b", "")
	call(h, "GET", "/notes?limit=many", "")
	// Output:
	// 200 "hi[a b] true"
	// 400 {"type":"about:blank","title":"Bad Request","status":400,"code":"invalid_parameters","errors":[{"parameter":"limit","code":"invalid","detail":"The query parameter must be an integer."}]}
}

// Errors of other packages become problems where the program glues them together.
func ExampleProblems() {
	errPlan := errors.New("plan limit reached")
	planLimit := func(err error) *httpx.Problem {
		if !errors.Is(err, errPlan) {
			return nil
		}
		p := httpx.NewProblem(http.StatusPaymentRequired, "plan_limit", "Your plan allows 5 monitors.")
		p.Extensions = map[string]any{"limit": 5}
		return p
	}
	mux := http.NewServeMux()
	mux.Handle("POST /monitors", httpx.Write(nil, func(context.Context, struct{}) (struct{}, error) {
		return struct{}{}, fmt.Errorf("create monitor: %w", errPlan)
	}, nil))
	h := httpx.Problems(planLimit)(mux)
	call(h, "POST", "/monitors", "")
	call(h, "GET", "/monitors", "")
	// Output:
	// 402 {"type":"about:blank","title":"Payment Required","status":402,"detail":"Your plan allows 5 monitors.","code":"plan_limit","limit":5}
	// 405 {"type":"about:blank","title":"Method Not Allowed","status":405,"detail":"Allowed here: POST.","code":"method_not_allowed"}
}

type tenantKey struct{}

func withTenant(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, tenantKey{}, id)
}

func tenantFrom(ctx context.Context) (string, bool) {
	id, ok := ctx.Value(tenantKey{}).(string)
	return id, ok
}

func ExampleTenant() {
	bySubdomain := func(r *http.Request) (string, error) {
		name, _, _ := strings.Cut(r.Host, ".")
		if name != "acme" {
			return "", nil
		}
		return name, nil
	}
	h := httpx.Tenant(bySubdomain, withTenant)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := tenantFrom(r.Context())
		fmt.Fprint(w, id)
	}))
	call(h, "GET", "http://acme.example.com/", "")
	call(h, "GET", "http://other.example.com/", "")
	// Output:
	// 200 acme
	// 404 {"type":"about:blank","title":"Not Found","status":404,"detail":"There is no such tenant.","code":"tenant_not_found"}
}

func ExampleDefault() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ip", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, httpx.InfoFrom(r.Context()).ClientIP())
	})
	h := httpx.Default(mux, &httpx.DefaultOptions{
		Logger:         quiet(),
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, // httptest's peer is 192.0.2.1
		Deadline:       10 * time.Second,
		MaxBody:        64 << 10,
	})
	r := httptest.NewRequest("GET", "/ip", nil)
	r.Header.Set("X-Forwarded-For", "6.6.6.6, 203.0.113.9")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output: 203.0.113.9
}

func ExampleNewHealth() {
	health := httpx.NewHealth(map[string]func(context.Context) error{
		"postgres": func(context.Context) error { return nil },
	}, nil)
	mux := http.NewServeMux()
	mux.Handle("GET /livez", health.Live())
	mux.Handle("GET /readyz", health.Ready())
	call(mux, "GET", "/readyz", "")
	health.Drain() // Run does this when RunOptions.Health is set
	call(mux, "GET", "/readyz", "")
	call(mux, "GET", "/livez", "")
	// Output:
	// 200 {"status":"ok"}
	// 503 {"status":"draining"}
	// 200 {"status":"ok"}
}

// The first Ctrl-C stops the server gracefully, the second ends the program at once.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	worker := func(ctx context.Context) error {
		<-ctx.Done()
		fmt.Println("the worker stops last")
		return nil
	}
	err := httpx.Run(ctx, "127.0.0.1:0", http.NotFoundHandler(), &httpx.RunOptions{
		Workers: []func(context.Context) error{worker},
		Ready:   func(net.Addr) { stop() }, // stands for Ctrl-C
	})
	fmt.Println(err)
	// Output:
	// the worker stops last
	// <nil>
}
