package devclickhouse

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const (
	// queryHead is how much of a body is read to find out what it is.
	queryHead = 1 << 20
	// maxQuery bounds a query that is no INSERT with data.
	maxQuery = 64 << 20
)

// ServeHTTP speaks ClickHouse's HTTP interface.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !local(r.Host) || !localOrigin(r.Header.Get("Origin")) {
		http.Error(w, "devclickhouse: only local clients are served", http.StatusForbidden)
		return
	}
	w.Header().Set("X-ClickHouse-Server-Display-Name", "devclickhouse")
	w.Header().Set("X-ClickHouse-Timezone", s.timezone)
	switch {
	case r.URL.Path == "/ping" || r.URL.Path == "/replicas_status", r.Method == http.MethodGet && !r.URL.Query().Has("query"):
		_, _ = io.WriteString(w, "Ok.\n") // a client that left needs no answer
	case r.Method != http.MethodPost && r.Method != http.MethodGet:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "devclickhouse: method not allowed", http.StatusMethodNotAllowed)
	default:
		var e *exception
		if err := s.serve(w, r); errors.As(err, &e) {
			writeException(w, e)
		} else if err != nil {
			writeException(w, newException(codeUnknown, "UNKNOWN_EXCEPTION", "%v", err))
		}
	}
}

// local reports whether a Host header names this machine. It keeps a web page
// from reaching the server by a name that resolves to loopback.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func localOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return origin == "" || err == nil && local(u.Host)
}

// serve answers a query. An error it returns has not been answered yet.
func (s *Server) serve(w http.ResponseWriter, httpReq *http.Request) error {
	req, err := parseRequest(httpReq.URL.Query(), httpReq.Header, httpReq.Method == http.MethodGet)
	if err != nil {
		return err
	}
	w.Header().Set("X-ClickHouse-Query-Id", cmp.Or(req.queryID, randomHex(16)))
	text, rest, tables, err := readQuery(httpReq, req)
	if err != nil {
		return err
	}
	if text == helloQuery && req.format == "Native" {
		block, err := hello(cmp.Or(httpReq.URL.Query().Get("client_protocol_version"), "0"), s.version, s.timezone)
		if err != nil {
			return err
		}
		p := newReply(w, req, "Native")
		if _, err := p.Write(block); err != nil {
			return nil // the client left
		}
		return p.finish()
	}
	c, release, err := s.sessions.acquire(req)
	if err != nil {
		return err
	}
	defer release()
	if err := c.prepare(req); err != nil {
		return err
	}
	for _, t := range tables {
		if err := t.load(c); err != nil {
			return err
		}
	}
	return s.execute(httpReq.Context(), w, c, req, text, rest)
}

// readQuery returns the query's text and, behind it, what of the body was not
// read: the data of an INSERT.
func readQuery(httpReq *http.Request, req *request) (string, io.Reader, []external, error) {
	if strings.HasPrefix(httpReq.Header.Get("Content-Type"), "multipart/form-data") {
		text, tables, err := readExternal(httpReq, req)
		return text, nil, tables, err
	}
	body, err := req.body(httpReq)
	if err != nil {
		return "", nil, nil, err
	}
	query := req.query
	if query != "" {
		if st := parseStatement(query + "\n"); st.data >= 0 {
			return query + "\n", body, nil, nil
		}
	}
	head, err := io.ReadAll(io.LimitReader(body, queryHead))
	if err != nil {
		return "", nil, nil, bodyError(err)
	}
	if query != "" && len(head) > 0 {
		query += "\n"
	}
	query += string(head)
	if len(head) < queryHead || parseStatement(query).data >= 0 {
		return query, body, nil, nil
	}
	more, err := io.ReadAll(io.LimitReader(body, maxQuery))
	if err != nil {
		return "", nil, nil, bodyError(err)
	}
	if len(more) == maxQuery {
		return "", nil, nil, newException(codeBadRequest, "BAD_ARGUMENTS", "the query is larger than %d bytes", maxQuery)
	}
	return query + string(more), nil, nil, nil
}

// bodyError is the answer to a body that breaks off or does not decode.
func bodyError(err error) error {
	return newException(codeNetwork, "NETWORK_ERROR", "cannot read the request's body: %v", err)
}
