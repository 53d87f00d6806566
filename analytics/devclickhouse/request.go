package devclickhouse

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
)

type param struct{ name, value string }

// request is the query string and the headers of one call, sorted by what the
// server does with them (ClickHouse HTTP interface, "predefined parameters").
type request struct {
	query      string
	database   string
	format     string // default_format
	queryID    string
	session    string
	timeout    time.Duration // of the session
	mustExist  bool          // session_check
	compress   bool          // answer in ClickHouse's block frames
	decompress bool          // body comes in block frames
	wait       bool          // send nothing before the statement has ended
	gzip       bool          // answer with Content-Encoding: gzip
	method     compress.Method
	settings   []param // in the order of their names
	params     []param // values of {name:Type}
}

// settingName keeps what goes into SET to names.
var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]{0,127}$`)

const (
	maxSessionTimeout = time.Hour
	defaultFormat     = "TabSeparated"
)

// parseRequest sorts the values of a query string. readOnly is for GET.
func parseRequest(v url.Values, h http.Header, readOnly bool) (*request, error) {
	r := &request{
		query: v.Get("query"), queryID: v.Get("query_id"), session: v.Get("session_id"),
		database: cmp.Or(v.Get("database"), h.Get("X-ClickHouse-Database")),
		format:   cmp.Or(v.Get("default_format"), h.Get("X-ClickHouse-Format"), defaultFormat),
		timeout:  time.Minute, method: compress.LZ4,
	}
	for name, values := range v {
		value := values[len(values)-1]
		if p, ok := strings.CutPrefix(name, "param_"); ok {
			r.params = append(r.params, param{p, value})
			continue
		}
		if err := r.set(name, value, h); err != nil {
			return nil, err
		}
	}
	if readOnly && r.session == "" && !v.Has("readonly") {
		r.settings = append(r.settings, param{"readonly", "2"})
	}
	byName := func(a, b param) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(r.settings, byName)
	slices.SortFunc(r.params, byName)
	return r, nil
}

func (r *request) set(name, value string, h http.Header) error {
	on := value == "1" || value == "true"
	switch name {
	case "query", "query_id", "database", "default_format", "session_id":
	case "user", "password", "quota_key", "role", "stacktrace", "buffer_size", "client_protocol_version", "close_session":
		// Known to ClickHouse, of no use here: everybody is let in, and
		// blocks always come in their plain form (see hello).
	case "session_timeout":
		d, err := time.ParseDuration(value + "s")
		if err != nil || d <= 0 || d > maxSessionTimeout {
			return newException(codeBadRequest, "BAD_ARGUMENTS", "session_timeout %q is no number of seconds from 1 to %.0f", value, maxSessionTimeout.Seconds())
		}
		r.timeout = d
	case "session_check":
		r.mustExist = on
	case "compress":
		r.compress = on
	case "decompress":
		r.decompress = on
	case "wait_end_of_query":
		r.wait = on
	case "enable_http_compression":
		r.gzip = on && strings.Contains(h.Get("Accept-Encoding"), "gzip")
	default:
		if !settingName.MatchString(name) {
			return newException(codeUnknownSetting, "UNKNOWN_SETTING", "Setting %q is neither a parameter of the HTTP interface nor a name", name)
		}
		if name == "network_compression_method" {
			switch strings.ToUpper(value) {
			case "LZ4":
			case "LZ4HC":
				r.method = compress.LZ4HC
			case "ZSTD":
				r.method = compress.ZSTD
			case "NONE":
				r.method = compress.None
			default:
				return newException(codeUnknownCompression, "UNKNOWN_COMPRESSION_METHOD", "network_compression_method %q: LZ4, LZ4HC, ZSTD and NONE are known", value)
			}
		}
		r.settings = append(r.settings, param{name, value})
	}
	return nil
}

// body undoes the request's encodings: Content-Encoding outside, ClickHouse's
// block frames inside.
func (r *request) body(req *http.Request) (io.Reader, error) {
	var body io.Reader = req.Body
	switch e := strings.ToLower(req.Header.Get("Content-Encoding")); e {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, newException(codeBadRequest, "BAD_ARGUMENTS", "the body is not gzip: %v", err)
		}
		body = z
	case "deflate":
		z, err := zlib.NewReader(body)
		if err != nil {
			return nil, newException(codeBadRequest, "BAD_ARGUMENTS", "the body is not deflate: %v", err)
		}
		body = z
	default:
		return nil, newException(codeUnknownCompression, "UNKNOWN_COMPRESSION_METHOD", "Content-Encoding %q: gzip and deflate are known", e)
	}
	if r.decompress {
		body = newFrameReader(body)
	}
	return body, nil
}

const (
	frameHeader = 16 + 1 + 4 + 4 // checksum, method, compressed size with these 9 bytes, size
	maxFrame    = 128 << 20
)

// frameReader decodes ClickHouse's compressed block frames. It reads whole
// frames itself because the decoder takes an end of input behind a frame's
// header for the end of the data.
type frameReader struct {
	src   io.Reader
	frame bytes.Buffer
	dec   *compress.Reader
	left  int // bytes of the current frame not yet returned
}

func newFrameReader(src io.Reader) *frameReader {
	f := &frameReader{src: src}
	f.dec = compress.NewReader(&f.frame)
	return f
}

func (f *frameReader) Read(p []byte) (int, error) {
	for f.left == 0 {
		if err := f.load(); err != nil {
			return 0, err
		}
	}
	n, err := f.dec.Read(p[:min(len(p), f.left)])
	f.left -= n
	if err != nil {
		return n, fmt.Errorf("devclickhouse: block frame: %w", noEOF(err))
	}
	return n, nil
}

func (f *frameReader) load() error {
	f.frame.Reset()
	if _, err := io.CopyN(&f.frame, f.src, frameHeader); err != nil {
		if err == io.EOF && f.frame.Len() == 0 {
			return io.EOF
		}
		return fmt.Errorf("devclickhouse: block frame: %w", noEOF(err))
	}
	h := f.frame.Bytes()
	packed, size := int64(binary.LittleEndian.Uint32(h[17:])), int64(binary.LittleEndian.Uint32(h[21:]))
	if packed < 9 || packed > maxFrame || size > maxFrame {
		return fmt.Errorf("devclickhouse: block frame of %d bytes for %d: sizes go from 9 to %d", packed, size, maxFrame)
	}
	if _, err := io.CopyN(&f.frame, f.src, packed-9); err != nil {
		return fmt.Errorf("devclickhouse: block frame: %w", noEOF(err))
	}
	f.left = int(size)
	return nil
}

// noEOF makes an early end of input an error that nobody takes for the end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
