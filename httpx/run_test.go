package httpx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
)

// gate is a handler that tells when it is entered and waits to be let go.
type gate struct {
	entered, release chan struct{}
	cause            chan error
}

func newGate() *gate {
	return &gate{make(chan struct{}, 10), make(chan struct{}), make(chan error, 10)}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.entered <- struct{}{}
	select {
	case <-g.release:
		fmt.Fprint(w, "finished")
	case <-r.Context().Done():
		g.cause <- context.Cause(r.Context())
	}
}

// fetch sends a request in the background.
func fetch(url string) chan string {
	out := make(chan string, 1)
	go func() {
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
		if err != nil {
			out <- "error: " + err.Error()
			return
		}
		out <- fmt.Sprint(res.StatusCode, " ", text(res))
	}()
	return out
}

func TestRunFinishesRequestsInFlight(t *testing.T) {
	t.Parallel()
	g := newGate()
	r := start(t, g, httpx.RunOptions{})
	answer := fetch(r.url)
	<-g.entered
	r.cancel()
	require.Eventually(t, func() bool { // no new connections
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, 5*time.Millisecond)
	select {
	case err := <-r.done:
		t.Fatalf("Run returned while a request was running: %v", err)
	default:
	}
	close(g.release)
	require.Equal(t, "200 finished", <-answer)
	require.NoError(t, r.wait(t))
}

func TestRunCutsOffAfterGrace(t *testing.T) {
	t.Parallel()
	g := newGate()
	r := start(t, g, httpx.RunOptions{Grace: 50 * time.Millisecond})
	answer := fetch(r.url)
	<-g.entered
	r.cancel()
	require.ErrorContains(t, r.wait(t), "1 requests were still running after 50ms")
	require.ErrorIs(t, <-g.cause, httpx.ErrShutdown)
	<-answer
}

// A handler that ignores its context must not keep the process alive, and its client must see that it failed.
func TestRunCutsOffDeafHandlers(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	r := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		close(entered)
		<-release
	}), httpx.RunOptions{Grace: -1})
	answer := fetch(r.url)
	<-entered
	r.cancel()
	require.ErrorContains(t, r.wait(t), "cut off")
	require.Contains(t, <-answer, "EOF")
}

// behindBalancer stops a server while four clients use it as a load balancer does: ask for readiness, then send a request. It returns how
// many requests were lost, and how many clients were told to stop before they met a closed port.
func behindBalancer(t *testing.T, drain time.Duration) (lost, stopped int64) {
	health := httpx.NewHealth(nil, nil)
	mux := http.NewServeMux()
	mux.Handle("GET /readyz", health.Ready())
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		pass(2 * time.Millisecond)
		fmt.Fprint(w, "ok")
	})
	r, client, _ := startInBubble(t, stack(mux, httpx.DefaultOptions{}), httpx.RunOptions{Health: health, Drain: drain})
	var sent, lostN, stoppedN atomic.Int64
	var users sync.WaitGroup
	for i := range 4 {
		users.Go(func() {
			for pass(time.Duration(i) * time.Millisecond); ; pass(time.Millisecond) {
				res, err := client.Get(r.url + "/readyz")
				if err != nil {
					return
				}
				if _ = text(res); res.StatusCode != 200 { // the balancer takes this server out
					stoppedN.Add(1)
					return
				}
				for range 3 { // what the balancer believes is a little old
					sent.Add(1)
					res, err = client.Get(r.url + "/")
					if err != nil || text(res) != "ok" {
						lostN.Add(1)
					}
				}
			}
		})
	}
	pass(time.Second)
	r.cancel()
	users.Wait()
	require.NoError(t, r.wait(t))
	t.Logf("drain %v: %d requests, %d lost; %d of 4 clients were told to stop", drain, sent.Load(), lostN.Load(), stoppedN.Load())
	return lostN.Load(), stoppedN.Load()
}

func TestRunDrainLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost, stopped := behindBalancer(t, 0)
		require.Zero(t, lost)
		require.EqualValues(t, 4, stopped, "a client met a closed port before readiness was off")
	})
	synctest.Test(t, func(t *testing.T) { // the planted fault: without the delay the same clients lose requests
		lost, stopped := behindBalancer(t, -1)
		require.NotZero(t, lost)
		require.Less(t, stopped, int64(4))
	})
}

func TestRunAsksConnectionsToCloseWhileDraining(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		health := httpx.NewHealth(nil, nil)
		r, client, _ := startInBubble(t, health.Ready(), httpx.RunOptions{Health: health})
		get := func() *http.Response {
			res, err := client.Get(r.url)
			require.NoError(t, err)
			_ = text(res)
			return res
		}
		require.False(t, get().Close)
		began := time.Now()
		r.cancel()
		synctest.Wait() // Run waits for the load balancers to notice
		res := get()
		require.True(t, res.Close)
		require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
		require.NoError(t, r.wait(t))
		require.Equal(t, 2*time.Second, time.Since(began).Truncate(100*time.Millisecond))
	})
}

// A browser's spare connection, on which nothing was ever sent, must not hold up a shutdown for http.Server's five seconds, and is no
// request that was cut off.
func TestRunDoesNotWaitForSilentConnections(t *testing.T) {
	t.Parallel()
	for _, grace := range []time.Duration{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			r, _, network := startInBubble(t, http.NotFoundHandler(), httpx.RunOptions{Grace: grace})
			silent, err := network.dial(t.Context(), "", "")
			require.NoError(t, err)
			synctest.Wait()
			began := time.Now()
			r.cancel()
			require.NoError(t, r.wait(t))
			require.Less(t, time.Since(began), 1100*time.Millisecond)
			_, err = silent.Read(make([]byte, 1))
			require.Error(t, err)
		})
	}
}

func TestRunSupervisesWorkers(t *testing.T) {
	t.Parallel()
	t.Run("stopped last", func(t *testing.T) {
		t.Parallel()
		g := newGate()
		var order []string
		working := make(chan struct{})
		r := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g.ServeHTTP(w, r)
			order = append(order, "request")
		}), httpx.RunOptions{Workers: []func(context.Context) error{
			func(ctx context.Context) error {
				close(working)
				<-ctx.Done()
				order = append(order, "worker")
				return ctx.Err() // also a clean end
			},
			func(context.Context) error { return nil }, // done early: nothing happens
		}})
		<-working
		answer := fetch(r.url)
		<-g.entered
		r.cancel()
		close(g.release)
		require.Equal(t, "200 finished", <-answer)
		require.NoError(t, r.wait(t))
		require.Equal(t, []string{"request", "worker"}, order)
	})
	t.Run("failure stops everything", func(t *testing.T) {
		t.Parallel()
		errWorker := errors.New("redis is gone")
		r := start(t, http.NotFoundHandler(), httpx.RunOptions{Workers: []func(context.Context) error{
			func(ctx context.Context) error { <-ctx.Done(); return nil },
			func(context.Context) error { return errWorker },
		}})
		err := r.wait(t)
		require.ErrorIs(t, err, errWorker)
		require.ErrorContains(t, err, "worker 1")
	})
	t.Run("panic stops everything", func(t *testing.T) {
		t.Parallel()
		r := start(t, http.NotFoundHandler(), httpx.RunOptions{Workers: []func(context.Context) error{func(context.Context) error { panic("boom") }}})
		err := r.wait(t)
		require.ErrorContains(t, err, "boom")
		require.ErrorContains(t, err, "run_test.go")
	})
	t.Run("deaf worker", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		defer close(release)
		r := start(t, http.NotFoundHandler(), httpx.RunOptions{Grace: 50 * time.Millisecond, Workers: []func(context.Context) error{
			func(context.Context) error { <-release; return nil },
		}})
		r.cancel()
		require.ErrorContains(t, r.wait(t), "1 workers did not stop within 50ms")
	})
}

func TestRunReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	err = httpx.Run(t.Context(), taken.Addr().String(), http.NotFoundHandler(), nil)
	require.ErrorContains(t, err, "httpx: cannot listen on "+taken.Addr().String()+" because the port is taken; stop the other program or choose another port")
	require.NotContains(t, err.Error(), "\n")
	require.ErrorContains(t, httpx.Run(t.Context(), "", http.NotFoundHandler(), nil), "address")
	require.ErrorContains(t, httpx.Run(t.Context(), ":0", nil, nil), "handler")
	require.ErrorContains(t, httpx.Run(t.Context(), "no port", http.NotFoundHandler(), nil), "httpx: cannot listen on no port")
	broken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, broken.Close())
	err = httpx.Run(t.Context(), "", http.NotFoundHandler(), &httpx.RunOptions{Listener: broken, Logger: quiet()})
	require.ErrorContains(t, err, "httpx: serve")
}

func TestRunOnAGivenListener(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	type key struct{}
	seen := make(chan any, 1)
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "v"))
	done := make(chan error, 1)
	go func() {
		done <- httpx.Run(ctx, "", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Context().Value(key{}) }), &httpx.RunOptions{Listener: ln})
	}()
	res, err := http.Get("http://" + ln.Addr().String())
	require.NoError(t, err)
	_ = text(res)
	require.Equal(t, "v", <-seen, "requests do not see the values of Run's context")
	cancel()
	require.NoError(t, <-done)
}

func TestRunSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	clear := start(t, h, httpx.RunOptions{H2C: true})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	res, err := (&http.Client{Transport: tr}).Get(clear.url)
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", text(res))
	tr.CloseIdleConnections()
	clear.cancel()
	require.NoError(t, clear.wait(t))

	lender := httptest.NewTLSServer(nil) // lends its certificate
	defer lender.Close()
	secure := start(t, h, httpx.RunOptions{TLS: &tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12}})
	client := lender.Client()
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	res, err = client.Get(strings.Replace(secure.url, "http:", "https:", 1))
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", text(res))
	client.CloseIdleConnections()
	secure.cancel()
	require.NoError(t, secure.wait(t))
}

func TestRunTimesOutSlowHeaders(t *testing.T) {
	t.Parallel()
	r := start(t, http.NotFoundHandler(), httpx.RunOptions{ReadHeaderTimeout: 50 * time.Millisecond})
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err = io.ReadAll(c)
	require.NoError(t, err, "the server did not hang up")
}

func TestRunBoundsHeaders(t *testing.T) {
	t.Parallel()
	r := start(t, http.NotFoundHandler(), httpx.RunOptions{})
	req, err := http.NewRequest("GET", r.url, nil)
	require.NoError(t, err)
	req.Header.Set("X-Big", strings.Repeat("x", 80<<10))
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	_ = text(res)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
}

// A body that comes slower than ReadTimeout is refused, except where a Deadline gives it the time.
func TestRunGivesUploadsTheTimeOfTheirDeadline(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("POST /upload", httpx.Deadline(10*time.Minute)(httpx.Write(nil, (&Notes{}).Create, nil)))
	mux.Handle("POST /unlimited", httpx.Deadline(-1)(httpx.Write(nil, (&Notes{}).Create, nil)))
	mux.Handle("POST /notes", httpx.Write(nil, (&Notes{}).Create, nil))
	synctest.Test(t, func(t *testing.T) {
		r, client, _ := startInBubble(t, stack(mux, httpx.DefaultOptions{}), httpx.RunOptions{})
		post := func(path string) string {
			body := &slowReader{Reader: strings.NewReader(`{"body":"hi"}`), wait: 20 * time.Second}
			res, err := client.Post(r.url+path, "application/json", body)
			require.NoError(t, err)
			return fmt.Sprint(res.StatusCode, " ", text(res))
		}
		require.Equal(t, `200 {"id":1,"body":"hi"}`, post("/upload"))
		require.Equal(t, `200 {"id":1,"body":"hi"}`, post("/unlimited"))
		require.Contains(t, post("/notes"), `"code":"body_too_slow"`)
		r.cancel()
		require.NoError(t, r.wait(t))
		pass(time.Minute) // the client notices that nobody reads its body
	})
}

// slowReader gives one byte at a time.
type slowReader struct {
	io.Reader
	wait time.Duration
}

func (s *slowReader) Read(p []byte) (int, error) {
	pass(s.wait)
	return s.Reader.Read(p[:1])
}

// What a shutdown cuts off says so, if its handler listens to its context. Workers have a second even without Grace.
func TestRunCutsOffWithAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := httpx.Read(func(ctx context.Context, _ struct{}) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}, nil)
		r, client, _ := startInBubble(t, stack(h, httpx.DefaultOptions{Deadline: time.Hour}), httpx.RunOptions{Grace: -1, Workers: []func(context.Context) error{
			func(ctx context.Context) error { <-ctx.Done(); pass(time.Second / 2); return nil },
		}})
		answer := make(chan string, 1)
		go func() {
			res, err := client.Get(r.url)
			if err != nil {
				answer <- err.Error()
				return
			}
			answer <- fmt.Sprint(res.StatusCode, " ", text(res))
		}()
		synctest.Wait()
		r.cancel()
		require.EqualError(t, r.wait(t), "httpx: shutdown: 1 requests were still running after 0s and were cut off")
		got := <-answer
		require.Contains(t, got, "503 ")
		require.Contains(t, got, "The server is shutting down.")
	})
}
