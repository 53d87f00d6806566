package httpx

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Metrics counts each request in "httpx.requests" and adds its duration to "httpx.request_seconds", both with the keys method,
// route (the pattern, never the path, so that their number is bounded) and status. Requests that panic count too. A nil m counts nothing.
func Metrics(m interface {
	Add(ctx context.Context, name string, n float64, kv ...string)
},
) Middleware {
	return func(next http.Handler) http.Handler {
		if m == nil {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, info := withInfo(r)
			rec, start := record(w), time.Now()
			defer func() {
				info.sawRoute(r.Pattern)
				kv := []string{"method", knownMethod(r.Method), "route", info.Route(), "status", strconv.Itoa(rec.result())}
				ctx := context.WithoutCancel(r.Context())
				m.Add(ctx, "httpx.requests", 1, kv...)
				m.Add(ctx, "httpx.request_seconds", time.Since(start).Seconds(), kv...)
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

// knownMethod bounds the number of label values that a client can create.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
