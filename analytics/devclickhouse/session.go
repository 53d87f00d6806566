package devclickhouse

import (
	"sync"
	"time"
)

// maxSessions bounds the sessions that clients keep by session_id.
const maxSessions = 1000

// sessions are the named sessions: a connection with its settings and
// temporary tables that outlives a request.
type sessions struct {
	open func() (*conn, error)

	mu     sync.Mutex
	byName map[string]*session
}

type session struct {
	conn  *conn
	busy  bool
	timer *time.Timer // closes it when unused
}

// acquire returns the session's connection, which the caller then has for
// itself, and the function that gives it back.
func (s *sessions) acquire(r *request) (*conn, func(), error) {
	if r.session == "" {
		c, err := s.open()
		if err != nil {
			return nil, nil, err
		}
		return c, c.close, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.byName[r.session]
	switch {
	case ok && h.busy:
		return nil, nil, newException(codeSessionLocked, "SESSION_IS_LOCKED", "Session %s is locked by a concurrent client", r.session)
	case !ok && r.mustExist:
		return nil, nil, newException(codeSessionNotFound, "SESSION_NOT_FOUND", "Session %s not found", r.session)
	case !ok && len(s.byName) >= maxSessions:
		return nil, nil, newException(codeTooManyQueries, "TOO_MANY_SIMULTANEOUS_QUERIES", "there are %d sessions already", maxSessions)
	case !ok:
		c, err := s.open()
		if err != nil {
			return nil, nil, err
		}
		h = &session{conn: c}
		s.byName[r.session] = h
	default:
		h.timer.Stop()
	}
	h.busy = true
	return h.conn, func() { s.release(r.session, h, r.timeout) }, nil
}

func (s *sessions) release(name string, h *session, timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.busy = false
	h.timer = time.AfterFunc(timeout, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		// The timer may have fired just before a request stopped it.
		if !h.busy && s.byName[name] == h {
			delete(s.byName, name)
			h.conn.close()
		}
	})
}

// closeAll ends the sessions; no request is running any more.
func (s *sessions) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, h := range s.byName {
		h.timer.Stop()
		delete(s.byName, name)
		h.conn.close()
	}
}
