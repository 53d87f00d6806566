package httpx

import (
	"io"
	"net/http"
)

// defaultMaxBody is the limit of request bodies where none is given.
const defaultMaxBody = 1 << 20

// BodyLimit bounds request bodies to n bytes; zero means 1 MiB, negative means no limit. Reading more fails with
// *http.MaxBytesError, which [WriteError] answers with 413; a declared Content-Length over the limit fails at the first read,
// before the client was told to continue. A handler that writes nothing after such a failure gets the 413 as well.
// A BodyLimit (or [WriteOptions].MaxBody) nearer to the handler replaces one farther out, up or down.
func BodyLimit(n int64) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, _ = withInfo(r)
			rec := record(w)
			body := limitBody(rec, r, n)
			next.ServeHTTP(rec, r)
			if body.hit != nil && !rec.started() {
				WriteError(rec, r, body.hit)
			}
		})
	}
}

// limitedBody is a request body whose limit can still be changed until the first read.
type limitedBody struct {
	io.ReadCloser
	w        http.ResponseWriter
	declared int64
	limit    int64
	opened   bool
	hit      *http.MaxBytesError
}

// limitBody sets the limit of r's body.
func limitBody(w http.ResponseWriter, r *http.Request, n int64) *limitedBody {
	if n == 0 {
		n = defaultMaxBody
	}
	if body, ok := r.Body.(*limitedBody); ok {
		if !body.opened {
			body.limit = n
		}
		return body
	}
	body := &limitedBody{ReadCloser: r.Body, w: bottom(w), declared: r.ContentLength, limit: n}
	if r.Body == nil {
		body.ReadCloser = http.NoBody
	}
	r.Body = body
	return body
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.hit != nil {
		return 0, b.hit
	}
	if !b.opened {
		b.opened = true
		if b.limit > 0 {
			if b.declared > b.limit {
				b.hit = &http.MaxBytesError{Limit: b.limit}
				return 0, b.hit
			}
			b.ReadCloser = http.MaxBytesReader(b.w, b.ReadCloser, b.limit)
		}
	}
	n, err := b.ReadCloser.Read(p)
	if tooLarge, ok := err.(*http.MaxBytesError); ok {
		b.hit = tooLarge
	}
	return n, err
}
