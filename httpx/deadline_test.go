package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

func TestDeadline(t *testing.T) {
	t.Parallel()
	found := &reports{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /partial", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "partial")
		<-r.Context().Done()
	})
	mux.Handle("GET /typed", httpx.Read(func(ctx context.Context, _ struct{}) (int, error) {
		<-ctx.Done()
		return 0, fmt.Errorf("query: %w", ctx.Err())
	}, nil))
	mux.HandleFunc("GET /deaf", func(http.ResponseWriter, *http.Request) { pass(time.Hour) })
	mux.HandleFunc("GET /quick", func(http.ResponseWriter, *http.Request) {})
	longer := func(d time.Duration) http.Handler {
		return httpx.Deadline(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				httpx.WriteError(w, r, r.Context().Err())
			case <-time.After(time.Minute):
			}
		}))
	}
	mux.Handle("GET /longer", longer(2*time.Minute))
	mux.Handle("GET /unlimited", longer(0))
	mux.Handle("GET /nested", httpx.Deadline(time.Second)(longer(2*time.Minute)))
	mux.Handle("GET /shorter", longer(time.Second))
	synctest.Test(t, func(t *testing.T) {
		c := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{Errors: found}))
		took := func(path string) (r *httpxtest.Response, d time.Duration) {
			began := time.Now()
			r = c.Get(path)
			return r, time.Since(began)
		}
		for path, want := range map[string]time.Duration{"/silent": 30 * time.Second, "/typed": 30 * time.Second, "/deaf": time.Hour, "/shorter": time.Second} {
			r, d := took(path)
			r.RequireProblem(503, "timeout")
			r.RequireHeader("Retry-After", "1")
			require.Equal(t, want, d, path)
		}
		r, _ := took("/partial")
		require.Equal(t, "partial", string(r.RequireStatus(200).Body))
		for _, path := range []string{"/longer", "/unlimited", "/nested"} { // the nearer one wins, and its silence is a 200
			r, d := took(path)
			r.RequireStatus(200)
			require.Equal(t, time.Minute, d, path)
		}
		c.Get("/quick").RequireStatus(200)
	})
	require.Empty(t, found.all(), "slow requests are not reported as errors")
}

// A replaced deadline must still end with the request.
func TestDeadlineReplacedKeepsCancellation(t *testing.T) {
	t.Parallel()
	entered, ended := make(chan struct{}), make(chan error, 1)
	type key struct{}
	inner := httpx.Deadline(time.Hour)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Context().Value(key{}) != "v" {
			ended <- errors.New("the values are lost")
			return
		}
		close(entered)
		<-r.Context().Done()
		ended <- r.Context().Err()
	}))
	url, c := serve(t, stack(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "v")))
	}), httpx.DefaultOptions{}))
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	require.NoError(t, err)
	go func() {
		select {
		case <-entered:
		case <-ended:
		}
		leave()
	}()
	_, err = c.Do(r)
	require.Error(t, err)
	require.ErrorIs(t, <-ended, context.Canceled)
}
