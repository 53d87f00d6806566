package httpx

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// AccessLogOptions configures [AccessLog]; nil and the zero value are ready for use.
type AccessLogOptions struct {
	// Logger receives the lines. Nil means slog.Default().
	Logger *slog.Logger

	// URL adds path and query to each line. False means that only the route pattern is logged, because paths and queries carry
	// what users typed. Values of query parameters whose name sounds like a secret or a person, and values with an @, are replaced.
	URL bool
}

// AccessLog writes one line for each request when it ends, also when its handler panics or takes over the connection:
// method, route, status, bytes, duration, request id, client address, tenant, principal, cache status, problem code, error, and
// what handlers added with [Info.Log]. Status 500 and above is logged at level Error, everything else at Info.
func AccessLog(opts *AccessLogOptions) Middleware {
	if opts == nil {
		opts = &AccessLogOptions{}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, info := withInfo(r)
			rec := record(w)
			start, aborted := time.Now(), true
			defer func() {
				info.sawRoute(r.Pattern)
				logRequest(opts, r, rec, info, time.Since(start), aborted)
			}()
			next.ServeHTTP(rec, r)
			aborted = false
		})
	}
}

func logRequest(opts *AccessLogOptions, r *http.Request, rec *recorder, info *Info, took time.Duration, aborted bool) {
	logger, level := loggerOr(opts.Logger), slog.LevelInfo
	know := info.snapshot()
	if rec.result() >= 500 || know.err != nil {
		level = slog.LevelError
	}
	if !logger.Enabled(r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16+len(know.attrs))
	attrs = append(attrs,
		slog.String("method", r.Method), slog.String("route", know.route), slog.Int("status", rec.result()),
		slog.Int64("bytes", rec.bytes), slog.Duration("dur", took), slog.String("request_id", know.id))
	if know.ip.IsValid() {
		attrs = append(attrs, slog.String("ip", know.ip.String()))
	}
	for _, kv := range [...][2]string{{"tenant", know.tenant}, {"principal", know.principal}, {"cache", know.cache}, {"code", know.code}} {
		if kv[1] != "" {
			attrs = append(attrs, slog.String(kv[0], kv[1]))
		}
	}
	if opts.URL {
		attrs = append(attrs, slog.String("path", clip(r.URL.Path, 512)), slog.String("query", redactQuery(r.URL.RawQuery)))
	}
	if aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	if know.err != nil {
		attrs = append(attrs, slog.String("err", know.err.Error()))
	}
	logger.LogAttrs(r.Context(), level, "request", append(attrs, know.attrs...)...)
}

func loggerOr(l *slog.Logger) *slog.Logger {
	if l != nil {
		return l
	}
	return slog.Default()
}

// sensitive are parts of parameter names whose values never reach a log.
var sensitive = [...]string{
	"token", "secret", "pass", "pwd", "key", "code", "sig", "auth", "session", "cred", "otp", "pin", "jwt",
	"mail", "phone", "card", "iban", "ssn", "name",
}

// maxQuery bounds how much of a query is logged.
const maxQuery = 1024

// redactQuery returns the query without the values of sensitive parameters; what cannot be parsed is left out, and so is a parameter
// that does not fit, because half a value cannot be judged.
func redactQuery(raw string) string {
	if len(raw) > maxQuery {
		raw = raw[:max(0, strings.LastIndexByte(raw[:maxQuery], '&'))]
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(raw, "&") {
		k, v, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err != nil || err2 != nil || name == "" {
			continue
		}
		if isSensitive(name) || strings.Contains(value, "@") {
			value = "REDACTED"
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(name) + "=" + url.QueryEscape(value))
	}
	return b.String()
}

func isSensitive(name string) bool {
	name = strings.ToLower(name)
	for _, part := range sensitive {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
