// Package providertest is a fake HTTP provider for the tests of the adapters.
package providertest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/ashlar-go/ashlar/notify/notifytest"
)

// Answer is what a provider replies.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Server is a provider on the loopback interface that misbehaves on demand.
type Server struct {
	URL string
	// Accept checks and stores one request.
	Accept func(r *http.Request, body []byte) Answer
	// Answers to a refused message, quoting the request as real providers do.
	Answers map[notifytest.Behaviour]func(body []byte) Answer

	mu   sync.Mutex
	next notifytest.Behaviour
	// Requests counts what reached the server.
	requests int
}

// New starts a server that ends with the test.
func New(t *testing.T, s *Server) *Server {
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.URL = srv.URL
	return s
}

// Next sets the behaviour for the next message.
func (s *Server) Next(b notifytest.Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = b
}

// Requests counts what reached the server.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Client has its own connections, and none while the behaviour is Refuse.
func (s *Server) Client(t *testing.T) *http.Client {
	var d net.Dialer
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if s.take(notifytest.Refuse) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
		}
		return d.DialContext(ctx, network, addr)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (s *Server) take(only notifytest.Behaviour) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != only {
		return false
	}
	s.next = ""
	return true
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // a caller that went away in the middle sent nothing
	}
	s.mu.Lock()
	b := s.next
	s.next = ""
	s.requests++
	s.mu.Unlock()
	switch refuse := s.Answers[b]; {
	case refuse != nil:
		refuse(body).write(w)
	case b == notifytest.Hang:
		<-r.Context().Done()
	case b == notifytest.LoseAnswer:
		s.Accept(r, body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	default:
		s.Accept(r, body).write(w)
	}
}

func (a Answer) write(w http.ResponseWriter) {
	for k, v := range a.Header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.Status)
	io.WriteString(w, a.Body)
}
