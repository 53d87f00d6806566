package devclickhouse

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/ClickHouse/ch-go/compress"
)

// maxPending bounds what wait_end_of_query keeps in memory.
const maxPending = 512 << 20

// reply writes one answer: headers at the first byte, the body in the wanted
// encoding, and an error in the form that its moment allows.
type reply struct {
	w       http.ResponseWriter
	req     *request
	format  string
	tag     string // marks an exception inside a body as the server's
	body    io.Writer
	zip     *gzip.Writer
	frames  *compress.Writer
	pending *bytes.Buffer
	started bool
	summary summary
}

func newReply(w http.ResponseWriter, r *request, format string) *reply {
	p := &reply{w: w, req: r, format: format, tag: randomHex(8), body: w}
	if r.wait {
		p.pending = &bytes.Buffer{}
	}
	if r.compress {
		p.frames = compress.NewWriter(compress.LevelZero, r.method)
	}
	return p
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// start sends the headers of a success.
func (p *reply) start() {
	h := p.w.Header()
	h.Set("Content-Type", contentType(p.format))
	h.Set("X-ClickHouse-Format", p.format)
	h.Set("X-ClickHouse-Exception-Tag", p.tag)
	s := p.summary
	h.Set("X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","total_rows_to_read":"0","result_rows":"0","result_bytes":"0"}`,
		s.rowsRead, s.bytesRead, s.rowsWritten, s.bytesWritten))
	if p.req.gzip {
		h.Set("Content-Encoding", "gzip")
		p.zip = gzip.NewWriter(p.w)
		p.body = p.zip
	}
	p.w.WriteHeader(http.StatusOK)
	p.started = true
}

// Write sends a part of the result.
func (p *reply) Write(b []byte) (int, error) {
	if p.pending != nil {
		if p.pending.Len()+len(b) > maxPending {
			return 0, newException(396, "TOO_MANY_ROWS_OR_BYTES", "the result is larger than the %d bytes that wait_end_of_query may hold back", maxPending)
		}
		return p.pending.Write(b)
	}
	if !p.started {
		p.start()
	}
	if err := p.send(p.frames, b); err != nil {
		return 0, err
	}
	return len(b), p.flush()
}

const frameSize = 1 << 20

func (p *reply) send(frames *compress.Writer, b []byte) error {
	if frames == nil {
		_, err := p.body.Write(b)
		return err
	}
	for len(b) > 0 {
		n := min(len(b), frameSize)
		if err := frames.Compress(b[:n]); err != nil {
			return err
		}
		if _, err := p.body.Write(frames.Data); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (p *reply) flush() error {
	if p.zip != nil {
		if err := p.zip.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(p.w).Flush()
}

// finish ends a success.
func (p *reply) finish() error {
	if b := p.pending; b != nil {
		if p.pending = nil; b.Len() > 0 {
			if _, err := p.Write(b.Bytes()); err != nil {
				return err
			}
		}
	}
	if !p.started {
		if !p.req.gzip {
			// clickhouse-go takes an answer without length for one with blocks.
			p.w.Header().Set("Content-Length", "0")
		}
		p.start()
	}
	if p.zip != nil {
		return p.zip.Close()
	}
	return nil
}

// fail ends an answer with an error: by status while that is possible, else
// as a tagged block at the end of the body.
func (p *reply) fail(err error) error {
	var e *exception
	if !errors.As(err, &e) {
		e = newException(codeUnknown, "UNKNOWN_EXCEPTION", "%v", err)
	}
	if !p.started {
		writeException(p.w, e)
		return nil
	}
	text := e.text + "\n"
	block := fmt.Sprintf("\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n", p.tag, text, len(text), p.tag)
	frames := p.frames
	if frames != nil {
		// An uncompressed frame can be read by those who decode frames and
		// by those who search the bytes.
		frames = compress.NewWriter(compress.LevelZero, compress.None)
	}
	if err := p.send(frames, []byte(block)); err != nil {
		return err
	}
	if p.zip != nil {
		return p.zip.Close()
	}
	return nil
}

func writeException(w http.ResponseWriter, e *exception) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	w.WriteHeader(e.status())
	// A client that left cannot be told anything.
	_, _ = io.WriteString(w, e.text+"\n")
}
