package httpx

import (
	"maps"
	"net/http"
)

// SecureHeaders sets the response headers that OWASP's secure headers project recommends, before the handler runs, so that a
// handler can replace one for its own page. override changes them for all: a value replaces or adds, "" removes; nil keeps all.
// Strict-Transport-Security is sent to clients on TLS only (see [Info.Secure]).
func SecureHeaders(override map[string]string) Middleware {
	headers := map[string]string{
		"Content-Security-Policy":      "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "strict-origin-when-cross-origin",
		"Strict-Transport-Security":    "max-age=31536000; includeSubDomains",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
	}
	for k, v := range override {
		headers[http.CanonicalHeaderKey(k)] = v
	}
	maps.DeleteFunc(headers, func(_, v string) bool { return v == "" })
	hsts, hasHSTS := headers["Strict-Transport-Security"]
	delete(headers, "Strict-Transport-Security")
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			for k, v := range headers {
				h.Set(k, v)
			}
			if hasHSTS && (r.TLS != nil || InfoFrom(r.Context()).Secure()) {
				h.Set("Strict-Transport-Security", hsts)
			}
			next.ServeHTTP(w, r)
		})
	}
}
