package devclickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options of [New]. All fields are optional.
type Options struct {
	// Addr is the loopback address to listen on. Empty means 127.0.0.1 and a
	// free port.
	Addr string
	// Dir keeps the data. Empty means a temporary directory, removed at the
	// end of [Server.Run].
	Dir string
	// Library is the path of libchdb.so. Empty means the pinned one in the
	// user's cache, which is fetched if it is not there.
	Library string
	// Progress gets a line for each step that takes long. Nil means none.
	Progress io.Writer
	// DrainTimeout is how long Run lets requests finish after its context
	// ended; their statements are killed then. Zero means 5 seconds, negative
	// not at all.
	DrainTimeout time.Duration
	// Logger is for what no client can be told. Nil means slog.Default().
	Logger *slog.Logger
}

func (o *Options) addr() string {
	if o == nil || o.Addr == "" {
		return "127.0.0.1:0"
	}
	return o.Addr
}

func (o *Options) drainTimeout() time.Duration {
	switch {
	case o == nil || o.DrainTimeout == 0:
		return 5 * time.Second
	default:
		return max(0, o.DrainTimeout)
	}
}

// Server is an engine with its HTTP interface. It is made by [New] and may be
// used by several goroutines.
type Server struct {
	opts     *Options
	listener net.Listener
	temp     string // directory to remove, or ""
	version  string
	timezone string
	sessions *sessions

	control sync.Mutex
	keep    *conn // open as long as the engine; kills statements
}

// engineTaken is set by the first [New] of a process: libchdb does not survive
// a second start.
var engineTaken atomic.Bool

// New starts the engine and opens the address; requests wait until
// [Server.Run]. ctx bounds the time for fetching the library. A process can
// have one server in its life; a second call returns [ErrInUse].
func New(ctx context.Context, opts *Options) (*Server, error) {
	s := &Server{opts: opts}
	var o Options
	if opts != nil {
		o = *opts
	}
	host, _, err := net.SplitHostPort(s.opts.addr())
	if err != nil {
		return nil, fmt.Errorf("devclickhouse: Options.Addr: %w", err)
	}
	if !local(host) {
		return nil, fmt.Errorf("devclickhouse: Options.Addr is %s: the server lets everybody in and listens on loopback only", o.Addr)
	}
	library := o.Library
	if library == "" {
		if library, err = Install(ctx, o.Progress); err != nil {
			return nil, err
		}
	}
	// Before the engine, so that a taken port does not use up the one start.
	if s.listener, err = net.Listen("tcp", s.opts.addr()); err != nil {
		return nil, fmt.Errorf("devclickhouse: %w", err)
	}
	if !engineTaken.CompareAndSwap(false, true) {
		return nil, errors.Join(ErrInUse, s.listener.Close())
	}
	if err = s.startEngine(library, o.Dir); err != nil {
		return nil, errors.Join(err, s.listener.Close(), s.removeTemp())
	}
	return s, nil
}

func (s *Server) startEngine(library, dir string) error {
	var err error
	if dir == "" {
		if dir, err = os.MkdirTemp("", "devclickhouse-"); err != nil {
			return err
		}
		s.temp = dir
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lib, err := loadLibrary(library)
	if err != nil {
		return err
	}
	if s.keep, err = lib.open(dir); err != nil {
		return err
	}
	facts, _, err := s.keep.run("SELECT version(), timezone()", "TSV", nil)
	if err != nil {
		return err
	}
	s.version, s.timezone, _ = strings.Cut(strings.TrimSpace(string(facts)), "\t") // the query has two columns
	s.sessions = &sessions{open: func() (*conn, error) { return lib.open(dir) }, byName: map[string]*session{}}
	return nil
}

// Addr is the host:port that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is the address as clickhouse.ParseDSN and HTTP clients take it.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Version is the engine's version, "26.7.2.1".
func (s *Server) Version() string { return s.version }

// Run serves until ctx ends, lets running requests finish, closes the engine
// and returns nil. The server cannot be used again.
func (s *Server) Run(ctx context.Context) error {
	work, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	web := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return work },
		ErrorLog:    slog.NewLogLogger(s.logger().Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(s.listener) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(work, s.opts.drainTimeout())
		defer cancel()
		if web.Shutdown(drain) != nil {
			// Statements are killed when their request's context ends.
			kill()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err = web.Shutdown(last); err != nil {
				// A statement that does not react would be cut by the end of
				// the process anyway; the engine must not be closed under it.
				return errors.Join(fmt.Errorf("devclickhouse: statements still run: %w", err), web.Close())
			}
		}
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = e
		}
	}
	s.sessions.closeAll()
	s.keep.close()
	return errors.Join(err, s.removeTemp())
}

func (s *Server) removeTemp() error {
	if s.temp == "" {
		return nil
	}
	return os.RemoveAll(s.temp)
}

func (s *Server) logger() *slog.Logger {
	if s.opts == nil || s.opts.Logger == nil {
		return slog.Default()
	}
	return s.opts.Logger
}
