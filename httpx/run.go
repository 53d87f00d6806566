package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// RunOptions configures [Run]; nil and the zero value are ready for use.
type RunOptions struct {
	// Listener is used instead of listening on addr. Run closes it. Nil means that Run listens itself.
	Listener net.Listener

	// Ready is called once, before the first request is served, with the address that is listened on. Nil means nothing is called.
	Ready func(net.Addr)

	// Health is switched to draining when the shutdown begins. Nil means no readiness to switch.
	Health *Health

	// Drain is how long requests are still accepted after readiness was switched off, so that load balancers notice. Zero means
	// 2 s with Health and no delay without; negative means no delay.
	Drain time.Duration

	// Grace is how long requests may take to finish after that, and then again the workers. What is left is cut off.
	// Zero means 20 s, negative means no time at all; workers have a second even then to notice that they are stopped.
	Grace time.Duration

	// Workers run beside the server: queue.Run, hub.Run. They are stopped after the last request has finished. One that fails
	// or panics stops everything; one that returns nil is done. Nil means none.
	Workers []func(context.Context) error

	// TLS serves HTTPS with its certificates. Nil means plain HTTP.
	TLS *tls.Config

	// H2C also speaks HTTP/2 without TLS, for a proxy in front that does. False means HTTP/1.1 (and HTTP/2 over TLS).
	H2C bool

	// ReadHeaderTimeout, ReadTimeout, WriteTimeout and IdleTimeout are those of http.Server. Zero means 5 s, 30 s, 60 s and 120 s;
	// negative means none. [Deadline] replaces ReadTimeout for bodies and WriteTimeout for the requests it sees.
	ReadHeaderTimeout, ReadTimeout, WriteTimeout, IdleTimeout time.Duration

	// MaxHeaderBytes bounds a request's header. Zero means 64 KiB.
	MaxHeaderBytes int

	// Logger receives what the server has to say about broken connections. Nil means slog.Default().
	Logger *slog.Logger
}

// cutoff is how long handlers and workers get to notice that their context was cancelled.
const cutoff = time.Second

// Run serves h on addr (such as ":8080") until ctx ends, then shuts down without losing a request and returns nil:
//
//  1. Health says "not ready"; requests are still accepted for Drain, and keep-alive connections are asked to close;
//  2. no new connections, and those on which no request arrived within half a second are closed; running requests have Grace to finish;
//  3. what is left is cut off: its context ends with [ErrShutdown], then its connection is closed;
//  4. the workers' context ends, and they have Grace to return.
//
// Run returns an error when it cannot listen, when a worker fails, or when something had to be cut off. Contexts of requests and
// workers carry the values of ctx, not its cancellation. Hijacked connections are not waited for.
// For a second Ctrl-C to end the program at once, let signal.NotifyContext go at the first: context.AfterFunc(ctx, stop).
func Run(ctx context.Context, addr string, h http.Handler, opts *RunOptions) error {
	if opts == nil {
		opts = &RunOptions{}
	}
	if h == nil {
		return errors.New("httpx: Run needs a handler")
	}
	ln := opts.Listener
	if ln == nil {
		var err error
		if ln, err = listen(ctx, addr); err != nil {
			return err
		}
	}
	s := &service{opts: opts, handler: h, failed: make(chan error, 1+len(opts.Workers))}
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	s.server = s.newServer(base)
	stopWorkers := s.startWorkers(ctx)
	served := make(chan struct{})
	if opts.Ready != nil {
		opts.Ready(ln.Addr())
	}
	go func() {
		defer close(served)
		s.serve(ln)
	}()
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-s.failed:
	}
	err := s.shutdown(cut)
	<-served
	stopWorkers()
	err = errors.Join(failure, err, s.waitForWorkers())
	for {
		select {
		case late := <-s.failed:
			err = errors.Join(err, late)
		default:
			return err
		}
	}
}

// service is the state of one Run.
type service struct {
	opts     *RunOptions
	handler  http.Handler
	server   *http.Server
	failed   chan error // one slot for the server and each worker
	silent   newConns
	draining atomic.Bool
	running  atomic.Int64
	workers  sync.WaitGroup
	busy     atomic.Int64
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, errors.New(`httpx: Run needs an address such as ":8080"`)
	}
	ln, err := new(net.ListenConfig).Listen(context.WithoutCancel(ctx), "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("httpx: cannot listen on %s because the port is taken; stop the other program or choose another port: %w", addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("httpx: cannot listen on %s without more rights; choose a port above 1023: %w", addr, err)
	case err != nil:
		return nil, fmt.Errorf("httpx: cannot listen on %s: %w", addr, err)
	}
	return ln, nil
}

func (s *service) newServer(base context.Context) *http.Server {
	o := s.opts
	maxHeader := o.MaxHeaderBytes
	if maxHeader <= 0 {
		maxHeader = 64 << 10
	}
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: durationOr(o.ReadHeaderTimeout, 5*time.Second),
		ReadTimeout:       durationOr(o.ReadTimeout, 30*time.Second),
		WriteTimeout:      durationOr(o.WriteTimeout, 60*time.Second),
		IdleTimeout:       durationOr(o.IdleTimeout, 120*time.Second),
		MaxHeaderBytes:    maxHeader,
		TLSConfig:         o.TLS,
		ConnState:         s.silent.track,
		ErrorLog:          slog.NewLogLogger(loggerOr(o.Logger).Handler(), slog.LevelWarn),
	}
	if o.H2C {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetHTTP2(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	return srv
}

func (s *service) handle(w http.ResponseWriter, r *http.Request) {
	s.running.Add(1)
	defer s.running.Add(-1)
	if s.draining.Load() && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // clients move to another server before this one is gone
	}
	s.handler.ServeHTTP(w, r)
}

func (s *service) serve(ln net.Listener) {
	var err error
	if s.opts.TLS != nil {
		err = s.server.ServeTLS(ln, "", "")
	} else {
		err = s.server.Serve(ln)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		s.failed <- fmt.Errorf("httpx: serve %s: %w", ln.Addr(), err)
	}
}

// startWorkers returns the function that asks the workers to stop.
func (s *service) startWorkers(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	for i, run := range s.opts.Workers {
		s.busy.Add(1)
		s.workers.Go(func() {
			defer s.busy.Add(-1)
			defer func() {
				if v := recover(); v != nil {
					s.failed <- fmt.Errorf("httpx: worker %d: %w\n%s", i, panicError(v), debug.Stack())
				}
			}()
			if err := run(ctx); err != nil && !(errors.Is(err, context.Canceled) && ctx.Err() != nil) {
				s.failed <- fmt.Errorf("httpx: worker %d: %w", i, err)
			}
		})
	}
	return cancel
}

// shutdown runs phases 1 to 3.
func (s *service) shutdown(cut context.CancelCauseFunc) error {
	s.draining.Store(true)
	drain := s.opts.Drain
	if s.opts.Health != nil {
		s.opts.Health.Drain()
		drain = durationOr(drain, 2*time.Second)
	}
	if drain > 0 {
		time.Sleep(drain)
	}
	grace := durationOr(s.opts.Grace, 20*time.Second)
	if s.stop(grace) == nil {
		return nil
	}
	n := s.running.Load()
	cut(ErrShutdown)
	_ = s.stop(cutoff) // says only once more that requests are left
	_ = s.server.Close()
	if n == 0 { // only connections without a request were left
		return nil
	}
	return fmt.Errorf("httpx: shutdown: %d requests were still running after %v and were cut off", n, max(grace, 0))
}

func (s *service) stop(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var closing sync.WaitGroup
	defer closing.Wait()
	done := make(chan struct{})
	defer close(done)
	closing.Go(func() { s.silent.closeSilent(done) })
	return s.server.Shutdown(ctx)
}

// waitForWorkers runs phase 4.
func (s *service) waitForWorkers() error {
	done := make(chan struct{})
	go func() {
		s.workers.Wait()
		close(done)
	}()
	grace := durationOr(s.opts.Grace, 20*time.Second)
	if grace < 0 {
		grace = cutoff
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("httpx: shutdown: %d workers did not stop within %v", s.busy.Load(), grace)
	}
}
