package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// databases is the number of Redis databases of the shared server.
const databases = 1024

// sharedRedis is the server of this test binary.
var sharedRedis = sync.OnceValues(func() (*redisPool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// Always a private one: database numbers are handed out per process.
	server, err := devstack.Redis(ctx, &devstack.RedisOptions{URL: "none"})
	if err != nil {
		return nil, err
	}
	return &redisPool{server: server}, nil
})

type redisPool struct {
	server *devstack.RedisServer
	next   atomic.Int64
}

// Redis returns a client of an empty database of a real Redis server that the
// tests of this binary share. Pub/sub, CLIENT TRACKING and CONFIG are not per
// database: tests of those take a [RedisServer].
func Redis(t testing.TB) *redis.Client {
	t.Helper()
	p, err := sharedRedis()
	if err != nil {
		fatal(t, "Redis", err)
	}
	o, err := redis.ParseURL(p.server.URL)
	if err != nil {
		t.Fatalf("testenv: Redis: %v", err)
	}
	o.DB = int(p.next.Add(1)-1) % databases
	c := redis.NewClient(o)
	if err := c.FlushDB(context.Background()).Err(); err != nil {
		t.Fatalf("testenv: Redis: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Server is a Redis process of one test, which the test may kill, stop for a
// while and restart. Every command it has answered survives.
type Server struct {
	// Addr is its host:port, the same after a restart.
	Addr string

	t    testing.TB
	opts devstack.RedisOptions
	proc *devstack.RedisServer
}

// RedisServer starts a Redis process for this test alone, with these further
// arguments ("--maxmemory", "8mb").
func RedisServer(t testing.TB, args ...string) *Server {
	t.Helper()
	return redisServer(t, devstack.RedisOptions{Args: args})
}

func redisServer(t testing.TB, opts devstack.RedisOptions) *Server {
	t.Helper()
	opts.URL, opts.TCP, opts.Dir = "none", true, filepath.Join(t.TempDir(), "redis")
	s := &Server{t: t, opts: opts}
	s.Restart()
	s.Addr = s.proc.Addr
	if _, err := fmt.Sscanf(s.Addr[len("127.0.0.1:"):], "%d", &s.opts.Port); err != nil {
		t.Fatalf("testenv: Redis: port of %s: %v", s.Addr, err)
	}
	t.Cleanup(func() {
		s.Resume()
		if err := s.proc.Close(); err != nil {
			t.Errorf("testenv: stop Redis: %v", err)
		}
	})
	return s
}

// Client returns a client that gives up on a dead server quickly.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, DialTimeout: time.Second, DialerRetries: 1})
	s.t.Cleanup(func() { c.Close() })
	return c
}

// Kill ends the process with SIGKILL and returns when it is gone.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.proc.Kill(); err != nil {
		s.t.Fatalf("testenv: kill Redis: %v", err)
	}
}

// Restart starts a killed server again on the same port and data.
func (s *Server) Restart() {
	s.t.Helper()
	if s.proc != nil {
		if err := s.proc.Close(); err != nil {
			s.t.Fatalf("testenv: restart Redis: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	proc, err := devstack.Redis(ctx, &s.opts)
	if err != nil {
		fatal(s.t, "Redis", err)
	}
	s.proc = proc
}

// Save keeps a copy of the data as it is now for [Server.ThrowBack], in place of
// an earlier one. Commands wait meanwhile.
func (s *Server) Save() {
	s.t.Helper()
	s.Pause()
	defer s.Resume()
	if err := errors.Join(os.RemoveAll(s.saved()), os.CopyFS(s.saved(), os.DirFS(s.opts.Dir))); err != nil {
		s.t.Fatalf("testenv: save Redis: %v", err)
	}
}

// ThrowBack kills the server and starts it with the data of the last Save, as a
// failover to a replica that lags does.
func (s *Server) ThrowBack() {
	s.t.Helper()
	s.Kill()
	if err := errors.Join(os.RemoveAll(s.opts.Dir), os.CopyFS(s.opts.Dir, os.DirFS(s.saved()))); err != nil {
		s.t.Fatalf("testenv: throw Redis back: %v", err)
	}
	s.Restart()
}

func (s *Server) saved() string { return s.opts.Dir + ".saved" }

// Pause stops the process with SIGSTOP: connections stay open and nothing is
// answered. [Server.Resume] lets it go on.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a pause; without one it does nothing.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	// A killed server cannot be signalled, and need not be.
	if err := s.proc.Signal(sig); err != nil && sig == syscall.SIGSTOP {
		s.t.Fatalf("testenv: signal Redis: %v", err)
	}
}

// network returns the network of an address: a path is a unix socket.
func network(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return "tcp"
	}
	return "unix"
}
