package devclickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// piece is how much of an INSERT's data the engine gets at a time.
const piece = 1 << 20

// execute runs one statement and writes its answer.
func (s *Server) execute(ctx context.Context, w http.ResponseWriter, c *conn, req *request, text string, rest io.Reader) error {
	st := parseStatement(text)
	// The mark finds the statement in system.processes. At the end of the
	// text it does not move the positions in error messages.
	mark := "/* request " + randomHex(8) + " */"
	stop := s.killOnLeave(ctx, mark)
	defer stop()
	if st.data >= 0 {
		return s.insert(w, c, req, st, mark, io.MultiReader(strings.NewReader(text[st.data:]), orEmpty(rest)))
	}
	n, reads := c.classify(text)
	if n > 1 {
		return newException(codeSyntaxError, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
	}
	format := cmp.Or(st.format, req.format)
	p := newReply(w, req, format)
	sql := text + "\n" + mark
	if reads && streamable(format) {
		err := c.selectStream(sql, req.format, req.params, func(b []byte) error {
			_, err := p.Write(b)
			return err
		})
		if !notStreamable(err) {
			return p.end(err)
		}
	}
	out, sum, err := c.run(sql, req.format, req.params)
	p.summary = sum
	if err == nil && len(out) > 0 {
		_, err = p.Write(out)
	}
	return p.end(err)
}

// notStreamable recognizes the engine's refusal to stream SHOW, DESCRIBE and
// the like, which have then not been executed.
func notStreamable(err error) bool {
	var e *exception
	return errors.As(err, &e) && e.code == codeBadRequest && strings.Contains(e.text, "Streaming query is not supported")
}

func orEmpty(r io.Reader) io.Reader {
	if r == nil {
		return strings.NewReader("")
	}
	return r
}

// end finishes an answer. Errors of writing mean that the client left; there
// is nobody to tell.
func (p *reply) end(err error) error {
	if err == nil {
		err = p.finish()
	}
	if err == nil {
		return nil
	}
	if p.fail(err) != nil {
		// A body without its end must not look complete.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// insert feeds an INSERT with data.
func (s *Server) insert(w http.ResponseWriter, c *conn, req *request, st statement, mark string, data io.Reader) error {
	p := newReply(w, req, req.format)
	buf := make([]byte, piece)
	sum, err := c.insertStream(st.sql+"\n"+mark, st.format, req.params, func() ([]byte, error) {
		n, err := fill(data, buf)
		if err != nil {
			return nil, bodyError(err)
		}
		return buf[:n], nil
	})
	p.summary = sum
	return p.end(err)
}

// fill reads until buf is full or r ends. Unlike io.ReadFull it tells the end
// of r from a body that broke off.
func fill(r io.Reader, buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// killOnLeave kills the marked statement when the client goes away before
// the returned function is called.
func (s *Server) killOnLeave(ctx context.Context, mark string) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		// The statement may not have started yet, so one KILL is not enough.
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for failed := false; ; {
			if err := s.kill(mark); err != nil && !failed {
				failed = true
				s.logger().Error("devclickhouse: cannot kill a query whose client left", "error", err)
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(done)
		<-gone
	}
}

func (s *Server) kill(mark string) error {
	s.control.Lock()
	defer s.control.Unlock()
	sql := fmt.Sprintf("KILL QUERY WHERE position(query, '%s') > 0 AND NOT startsWith(query, 'KILL') ASYNC", mark)
	_, _, err := s.keep.run(sql, "TSV", nil)
	return err
}

// prepare applies the request's database and settings to the connection.
func (c *conn) prepare(r *request) error {
	if r.database != "" {
		if _, _, err := c.run("USE "+quoteName(r.database), defaultFormat, nil); err != nil {
			return err
		}
	}
	if len(r.settings) == 0 {
		return nil
	}
	var b strings.Builder
	for i, p := range r.settings {
		b.WriteString([]string{"SET ", ", "}[min(i, 1)])
		b.WriteString(p.name + " = " + quoteText(p.value))
	}
	_, _, err := c.run(b.String(), defaultFormat, nil)
	return err
}

var escapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "`", "\\`", "\x00", `\0`, "\n", `\n`)

func quoteText(s string) string { return "'" + escapes.Replace(s) + "'" }

func quoteName(s string) string { return "`" + escapes.Replace(s) + "`" }
