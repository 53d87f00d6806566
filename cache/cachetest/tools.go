package cachetest

import (
	"context"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

var _ cache.Tools = (*Store)(nil)

// tool is what the server has for one key of [cache.Tools].
type tool struct {
	total   int64
	owner   string
	fence   int64
	value   []byte
	expires time.Time
}

// living returns the tool of a name that has not ended.
func (s *server) living(name string) *tool {
	t := s.tools[name]
	if t != nil && !time.Now().Before(t.expires) {
		delete(s.tools, name)
		return nil
	}
	return t
}

func (s *server) keep(name string, t tool, ttl time.Duration) {
	if s.tools == nil {
		s.tools = make(map[string]*tool)
	}
	t.expires = time.Now().Add(ttl)
	s.tools[name] = &t
}

// Add implements [cache.Tools]. Intercept knows it as "add".
func (s *Store) Add(ctx context.Context, key string, n int64, window time.Duration) (int64, time.Duration, error) {
	if err := s.enter(ctx, "add"); err != nil {
		return 0, 0, err
	}
	srv := s.server
	srv.mu.Lock()
	defer srv.mu.Unlock()
	t := srv.living("n:" + key)
	if t == nil {
		srv.keep("n:"+key, tool{}, window)
		t = srv.tools["n:"+key]
	}
	t.total += n
	return t.total, time.Until(t.expires), nil
}

// Lock implements [cache.Tools]. Intercept knows it as "lock".
func (s *Store) Lock(ctx context.Context, key, owner string, ttl time.Duration) (int64, error) {
	if err := s.enter(ctx, "lock"); err != nil {
		return 0, err
	}
	srv := s.server
	srv.mu.Lock()
	defer srv.mu.Unlock()
	switch t := srv.living("l:" + key); {
	case t == nil:
		srv.keep("l:"+key, tool{owner: owner, fence: srv.tick()}, ttl)
	case t.owner != owner:
		return 0, nil
	default:
		t.expires = time.Now().Add(ttl)
	}
	return srv.tools["l:"+key].fence, nil
}

// Unlock implements [cache.Tools]. Intercept knows it as "unlock".
func (s *Store) Unlock(ctx context.Context, key, owner string) error {
	if err := s.enter(ctx, "unlock"); err != nil {
		return err
	}
	srv := s.server
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if t := srv.living("l:" + key); t != nil && t.owner == owner {
		delete(srv.tools, "l:"+key)
	}
	return nil
}

// Set implements [cache.Tools]. Intercept knows it as "set".
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.enter(ctx, "set"); err != nil {
		return err
	}
	srv := s.server
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.keep("v:"+key, tool{value: append([]byte{}, value...)}, ttl)
	return nil
}

// Get implements [cache.Tools]. Intercept knows it as "get".
func (s *Store) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := s.enter(ctx, "get"); err != nil {
		return nil, false, err
	}
	srv := s.server
	srv.mu.Lock()
	defer srv.mu.Unlock()
	t := srv.living("v:" + key)
	if t == nil {
		return nil, false, nil
	}
	return append([]byte{}, t.value...), true, nil
}
