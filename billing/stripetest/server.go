package stripetest

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Server is a fake Stripe account in test mode. All methods are safe for concurrent use.
type Server struct {
	opts *Options
	http *http.Server
	url  string

	mu        sync.Mutex
	customers map[string]map[string]string // id: metadata
	prices    map[string]*Price
	sessions  map[string]*session
	subs      map[string]*Subscription
	answers   map[string]answer // by idempotency key
	queue     []Delivery
	webhook   http.Handler
	secrets   []string
	intercept func(http.Handler) http.Handler
	requests  []string
}

// Options of [NewServer]. Nil means all defaults.
type Options struct {
	Key            string   // the only accepted API key. Empty means "sk_test_ashlar"
	WebhookSecrets []string // all sign each webhook, as during a rotation. Empty means one random secret
	APIVersion     string   // of webhook payloads. Empty means "2023-10-16"; from "2025-03-31" invoices have another shape
	Addr           string   // where to listen. Empty means a free port of 127.0.0.1
}

func (o *Options) key() string {
	if o == nil || o.Key == "" {
		return "sk_test_ashlar"
	}
	return o.Key
}

func (o *Options) secrets() []string {
	if o == nil || len(o.WebhookSecrets) == 0 {
		return []string{"whsec_" + rand.Text()}
	}
	return o.WebhookSecrets
}

func (o *Options) apiVersion() string {
	if o == nil || o.APIVersion == "" {
		return "2023-10-16"
	}
	return o.APIVersion
}

func (o *Options) addr() string {
	if o == nil || o.Addr == "" {
		return "127.0.0.1:0"
	}
	return o.Addr
}

// New starts a server that is closed when the test ends.
func New(t testing.TB, opts *Options) *Server {
	t.Helper()
	s, err := NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// NewServer starts a server. The caller closes it.
func NewServer(opts *Options) (*Server, error) {
	l, err := net.Listen("tcp", opts.addr())
	if err != nil {
		return nil, fmt.Errorf("stripetest: %w", err)
	}
	s := &Server{
		opts: opts, url: "http://" + l.Addr().String(), secrets: opts.secrets(),
		customers: map[string]map[string]string{}, prices: map[string]*Price{}, sessions: map[string]*session{},
		subs: map[string]*Subscription{}, answers: map[string]answer{},
	}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.http.Serve(l) }() // returns ErrServerClosed when Close is called
	return s, nil
}

// Close stops the server and cuts its connections.
func (s *Server) Close() { _ = s.http.Close() }

// URL is the API's address, for stripebilling.Options.URL.
func (s *Server) URL() string { return s.url }

// Key is the accepted API key.
func (s *Server) Key() string { return s.opts.key() }

// WebhookSecrets are the secrets that sign webhooks now.
func (s *Server) WebhookSecrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secrets
}

// SetWebhookSecrets rotates: webhooks made from now on are signed with these.
func (s *Server) SetWebhookSecrets(secrets ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = secrets
}

// Intercept wraps the API in a middleware that may delay, fail or drop requests before or after they take
// effect. Nil removes it. To drop a connection, panic with http.ErrAbortHandler.
func (s *Server) Intercept(middleware func(next http.Handler) http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = middleware
}

// Down makes every request fail with 503, or ends that.
func (s *Server) Down(down bool) {
	if !down {
		s.Intercept(nil)
		return
	}
	s.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "0")
			fail(http.StatusServiceUnavailable, "api_error", "", "", "the fake is down").write(w)
		})
	})
}

// Requests lists the API requests so far as "POST /v1/customers".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	middleware := s.intercept
	s.mu.Unlock()
	var h http.Handler = http.HandlerFunc(s.api)
	if middleware != nil {
		h = middleware(h)
	}
	h.ServeHTTP(w, r)
}

// api checks what every request must have, answers repeated idempotency keys from memory, and routes.
func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Request-Id", "req_"+rand.Text()[:14])
	if r.Header.Get("Authorization") != "Bearer "+s.opts.key() {
		fail(http.StatusUnauthorized, "invalid_request_error", "", "", "Invalid API Key provided").write(w)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	params, bad := parse(r, body)
	if bad != nil {
		bad.write(w)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, print := r.Header.Get("Idempotency-Key"), r.Method+r.URL.Path+"?"+params.Encode()
	if r.Method != http.MethodPost {
		key = ""
	}
	if known, ok := s.answers[key]; ok && key != "" {
		if known.request != print {
			fail(http.StatusBadRequest, "idempotency_error", "", "", "Keys for idempotent requests can only be used with the same parameters they were first used with.").write(w)
			return
		}
		w.Header().Set("Idempotent-Replayed", "true")
		known.write(w)
		return
	}
	a := s.route(r, params)
	a.request = print
	if key != "" && a.status < 400 {
		s.answers[key] = a
	}
	a.write(w)
}
