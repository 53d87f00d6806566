package httpx

import (
	"bufio"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
)

// recorder notes status and size of a response for the layers around it. It keeps Flush, Hijack, ReadFrom and, through
// Unwrap, everything http.ResponseController offers. It is used by the request's goroutine only, as any ResponseWriter.
type recorder struct {
	http.ResponseWriter
	status   int
	bytes    int64
	hijacked bool
	replaced bool             // the handler's page was replaced; the rest of it is dropped
	held     bool             // status is decided but not sent: the body may turn out to be a standard error page
	page     func(status int) // replaces a standard error page; nil = keep them
}

func record(w http.ResponseWriter) *recorder {
	if rec, ok := w.(*recorder); ok {
		return rec
	}
	return &recorder{ResponseWriter: w}
}

// Unwrap lets http.ResponseController reach deadlines and full duplex of the writer below.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// started reports whether anything was sent to the client.
func (rec *recorder) started() bool { return rec.hijacked || rec.status != 0 && !rec.held }

func (rec *recorder) WriteHeader(status int) {
	if rec.hijacked || rec.status != 0 {
		return // the first decision stands; net/http would only print a warning
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		rec.ResponseWriter.WriteHeader(status)
		return
	}
	rec.status = status
	if rec.page != nil && looksStandard(status, rec.Header()) {
		rec.held = true
		return
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(p []byte) (int, error) {
	if rec.replaced {
		return len(p), nil
	}
	if rec.held {
		if isStandardPage(rec.status, p) {
			rec.page(rec.status)
			rec.replaced = true
			return len(p), nil
		}
		rec.release()
	}
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	n, err := rec.ResponseWriter.Write(p)
	rec.bytes += int64(n)
	return n, err
}

// ReadFrom keeps sendfile working for http.ServeContent.
func (rec *recorder) ReadFrom(src io.Reader) (int64, error) {
	to, ok := rec.ResponseWriter.(io.ReaderFrom)
	if !ok || rec.held || rec.replaced {
		return io.Copy(writerOnly{rec}, src)
	}
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	n, err := to.ReadFrom(src)
	rec.bytes += n
	return n, err
}

// Flush implements http.Flusher.
func (rec *recorder) Flush() { _ = rec.FlushError() }

// FlushError is what http.ResponseController calls.
func (rec *recorder) FlushError() error {
	rec.release()
	err := http.NewResponseController(rec.ResponseWriter).Flush()
	if err == nil && rec.status == 0 {
		rec.status = http.StatusOK
	}
	return err
}

// Hijack implements http.Hijacker; on HTTP/2 it answers http.ErrNotSupported.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(rec.ResponseWriter).Hijack()
	if err == nil {
		rec.hijacked = true
	}
	return conn, rw, err
}

// release sends a held status.
func (rec *recorder) release() {
	if rec.held {
		rec.held = false
		rec.ResponseWriter.WriteHeader(rec.status)
	}
}

// result returns the status as the client sees it.
func (rec *recorder) result() int {
	switch {
	case rec.hijacked:
		return http.StatusSwitchingProtocols
	case rec.status == 0:
		return http.StatusOK
	}
	return rec.status
}

type writerOnly struct{ io.Writer }

// layers yields w and the writers below it, down to the server's own.
func layers(w http.ResponseWriter) iter.Seq[http.ResponseWriter] {
	return func(yield func(http.ResponseWriter) bool) {
		for yield(w) {
			u, ok := w.(interface{ Unwrap() http.ResponseWriter })
			if !ok {
				return
			}
			w = u.Unwrap()
		}
	}
}

// started reports whether the response behind w has begun, as far as a recorder in the chain knows.
func started(w http.ResponseWriter) bool {
	for layer := range layers(w) {
		if rec, ok := layer.(*recorder); ok && rec.started() {
			return true
		}
	}
	return false
}

// forgetHeld makes another answer possible where a status was decided but not sent.
func forgetHeld(w http.ResponseWriter) {
	for layer := range layers(w) {
		if rec, ok := layer.(*recorder); ok && rec.held {
			rec.held, rec.status = false, 0
		}
	}
}

// bottom returns the server's own ResponseWriter, which http.MaxBytesReader must see to close the connection.
func bottom(w http.ResponseWriter) (last http.ResponseWriter) {
	for last = range layers(w) {
	}
	return last
}

func looksStandard(status int, h http.Header) bool {
	return (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) &&
		h.Get("Content-Type") == "text/plain; charset=utf-8"
}

// isStandardPage recognizes the texts that http.NotFound, http.FileServer and http.ServeMux write in one piece.
func isStandardPage(status int, p []byte) bool {
	text := strings.TrimSuffix(string(p[:min(len(p), 32)]), "\n")
	if status == http.StatusNotFound {
		return text == "404 page not found"
	}
	return text == http.StatusText(http.StatusMethodNotAllowed)
}
