package httpx_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

type statusError int

func (e statusError) Error() string   { return "row of customer 42 is locked" }
func (e statusError) HTTPStatus() int { return int(e) }

var errQuota = errors.New("quota")

func TestWriteErrorMaps(t *testing.T) {
	t.Parallel()
	mapper := func(err error) *httpx.Problem {
		if errors.Is(err, errQuota) {
			return httpx.NewProblem(402, "quota", "")
		}
		return nil
	}
	for _, tc := range []struct {
		err      error
		status   int
		code     any
		reported bool
	}{
		{httpx.NewProblem(409, "taken", "The name is taken."), 409, "taken", false},
		{fmt.Errorf("create: %w", httpx.NewProblem(409, "taken", "")), 409, "taken", false},
		{fmt.Errorf("create: %w", errQuota), 402, "quota", false},
		{errors.Join(errors.New("x"), errQuota), 402, "quota", false},
		{statusError(423), 423, nil, false},
		{fmt.Errorf("x: %w", statusError(503)), 503, nil, false},
		{statusError(200), 500, nil, true}, // an error is never a success
		{statusError(0), 500, nil, true},
		{httpx.FieldErrors{{Pointer: "/a", Detail: "is odd"}}, 422, "invalid_input", false},
		{fmt.Errorf("x: %w", &http.MaxBytesError{Limit: 5}), 413, "body_too_large", false},
		{context.DeadlineExceeded, 503, "timeout", false},
		{errors.New("pq: password of app@db"), 500, "internal", true},
		{&httpx.Problem{Status: 500, Code: "odd"}, 500, "odd", true},
		{&httpx.Problem{}, 500, nil, true},
		{context.Canceled, 500, "internal", true}, // not by this request's client
	} {
		t.Run(tc.err.Error(), func(t *testing.T) {
			found, logs := &reports{}, &logBook{}
			h := stack(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpx.WriteError(w, r, tc.err) }),
				httpx.DefaultOptions{Errors: found, Logger: logs.logger(), MapErrors: []func(error) *httpx.Problem{mapper}})
			r := httpxtest.NewClient(t, h).Get("/").RequireStatus(tc.status)
			var p map[string]any
			r.JSON(&p)
			require.Equal(t, tc.code, p["code"])
			require.Equal(t, r.Header.Get("X-Request-Id"), p["request_id"])
			require.NotEmpty(t, p["title"])
			require.NotContains(t, string(r.Body), "customer 42")
			require.NotContains(t, string(r.Body), "password")
			require.Equal(t, tc.reported, len(found.all()) == 1)
			if tc.status >= 500 {
				require.Contains(t, logs.requests(t)[0], "err")
			}
		})
	}
}

func TestMappersNearestFirst(t *testing.T) {
	t.Parallel()
	says := func(code string) func(error) *httpx.Problem {
		return func(error) *httpx.Problem { return httpx.NewProblem(400, code, "") }
	}
	fails := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpx.WriteError(w, r, errQuota) })
	mux := http.NewServeMux()
	mux.Handle("/group", httpx.Problems(says("group"))(fails))
	mux.Handle("/", fails)
	c := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{MapErrors: []func(error) *httpx.Problem{says("outer"), says("never")}}))
	c.Get("/group").RequireProblem(400, "group")
	c.Get("/").RequireProblem(400, "outer") // nothing leaked from the group
	require.Panics(t, func() { httpx.Problems(nil) })
}

func TestProblemJSON(t *testing.T) {
	t.Parallel()
	p := &httpx.Problem{
		Type: "https://example.com/quota", Title: "Quota", Status: 402, Detail: "5 of 5", Code: "quota", Err: errors.New("secret"),
		Extensions: map[string]any{"status": 200, "request_id": "x", "limit": 5, "a b": []int{1}}, Header: http.Header{"retry-after": {"7"}},
	}
	b, err := json.Marshal(p)
	require.NoError(t, err)
	require.Equal(t, `{"type":"https://example.com/quota","title":"Quota","status":402,"detail":"5 of 5","code":"quota","a b":[1],"limit":5}`, string(b))
	require.ErrorContains(t, p, "secret")
	w := httptest.NewRecorder()
	httpx.WriteError(w, httptest.NewRequest("GET", "/", nil), p)
	require.Equal(t, "7", w.Header().Get("Retry-After"))
	require.JSONEq(t, string(b), w.Body.String())

	p.Extensions = map[string]any{"f": func() {}} // cannot be encoded: the problem is still one
	httpxtest.NewClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpx.WriteError(w, r, p) })).Get("/").RequireProblem(402, "quota")
}

// After the first byte an error must not be appended to the body.
func TestWriteErrorAfterFirstByte(t *testing.T) {
	t.Parallel()
	url, c := serve(t, stack(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		httpx.WriteError(w, r, errors.New("late"))
	}), httpx.DefaultOptions{}))
	res, err := c.Get(url)
	require.NoError(t, err)
	require.Equal(t, "unexpected EOF", text(res))
}
