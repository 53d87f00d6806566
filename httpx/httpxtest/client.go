package httpxtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Client calls a handler in memory and fails the test when something is not as required. Use [NewClient].
type Client struct {
	t      testing.TB
	h      http.Handler
	header http.Header
}

// NewClient returns a client of h.
func NewClient(t testing.TB, h http.Handler) *Client {
	return &Client{t: t, h: h, header: http.Header{}}
}

// With returns a client that sends one more header with each request.
func (c *Client) With(name, value string) *Client {
	d := &Client{t: c.t, h: c.h, header: c.header.Clone()}
	d.header.Add(name, value)
	return d
}

// Get sends a GET request.
func (c *Client) Get(target string) *Response { return c.Do(http.MethodGet, target, nil) }

// Post sends a POST request with body as JSON.
func (c *Client) Post(target string, body any) *Response { return c.Do(http.MethodPost, target, body) }

// Do sends a request. body is sent as JSON; a string, []byte or io.Reader is sent as it is, nil not at all. Content-Type is application/json
// unless With set one.
func (c *Client) Do(method, target string, body any) *Response {
	c.t.Helper()
	var from io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		from = bytes.NewReader([]byte(b))
	case []byte:
		from = bytes.NewReader(b)
	case io.Reader:
		from = b
	default:
		data, err := json.Marshal(b)
		if err != nil {
			c.t.Fatalf("httpxtest: encode the body: %v", err)
		}
		from = bytes.NewReader(data)
	}
	r := httptest.NewRequestWithContext(c.t.Context(), method, target, from)
	if from != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range c.header {
		r.Header[name] = append([]string(nil), values...)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	return &Response{t: c.t, Status: w.Code, Header: w.Result().Header, Body: w.Body.Bytes()}
}

// Response is a complete answer.
type Response struct {
	t      testing.TB
	Status int
	Header http.Header
	Body   []byte
}

// RequireStatus fails the test unless the status is the wanted one.
func (r *Response) RequireStatus(want int) *Response {
	r.t.Helper()
	if r.Status != want {
		r.t.Fatalf("httpxtest: status is %d, not %d; body: %.500s", r.Status, want, r.Body)
	}
	return r
}

// RequireHeader fails the test unless the header has the wanted value.
func (r *Response) RequireHeader(name, want string) *Response {
	r.t.Helper()
	if got := r.Header.Get(name); got != want {
		r.t.Fatalf("httpxtest: header %s is %q, not %q", name, got, want)
	}
	return r
}

// JSON decodes the body into v, a pointer.
func (r *Response) JSON(v any) *Response {
	r.t.Helper()
	if err := json.Unmarshal(r.Body, v); err != nil {
		r.t.Fatalf("httpxtest: body is not the expected JSON: %v; body: %.500s", err, r.Body)
	}
	return r
}

// RequireProblem fails the test unless the answer is a whole problem+json of that status and code, whose members agree with the
// response around it. It returns the members.
func (r *Response) RequireProblem(status int, code string) map[string]any {
	r.t.Helper()
	r.RequireStatus(status).RequireHeader("Content-Type", "application/problem+json").RequireHeader("Cache-Control", "no-store")
	var members map[string]any
	r.JSON(&members)
	title, _ := members["title"].(string)
	kind, _ := members["type"].(string)
	if members["status"] != float64(status) || members["code"] != code || title == "" || kind == "" {
		r.t.Fatalf("httpxtest: not the problem %d %q: %s", status, code, r.Body)
	}
	if id := r.Header.Get("X-Request-Id"); id != "" && members["request_id"] != id {
		r.t.Fatalf("httpxtest: request_id is %v in the body and %q in the header", members["request_id"], id)
	}
	return members
}
