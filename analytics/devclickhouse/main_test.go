package devclickhouse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics/devclickhouse"
)

// TestMain lets the test binary be the server's process too: with the race
// detector on, the server runs under it.
func TestMain(m *testing.M) {
	if os.Getenv("DEVCLICKHOUSE_CHILD") == "" {
		code := m.Run()
		if shared != nil {
			if err := shared.stop(); err != nil {
				fmt.Fprintln(os.Stderr, "the engine did not end well:", err)
				code = 1
			}
		}
		os.Exit(code)
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child serves until it is told to stop or its parent is gone.
func child() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
		cancel()
	}()
	dir := os.Getenv("DEVCLICKHOUSE_CHILD")
	if dir == temporary {
		dir = ""
	}
	s, err := devclickhouse.New(ctx, &devclickhouse.Options{
		Addr: os.Getenv("DEVCLICKHOUSE_ADDR"), Dir: dir, Progress: os.Stderr, DrainTimeout: 300 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	if _, err := devclickhouse.New(ctx, nil); !errors.Is(err, devclickhouse.ErrInUse) {
		return fmt.Errorf("a second engine gave %v", err)
	}
	fmt.Println(s.Addr())
	return s.Run(ctx)
}

// temporary stands for a directory that the server makes and removes.
const temporary = "temporary"

// engine is a server process of the tests.
type engine struct {
	addr  string
	cmd   *exec.Cmd
	stdin io.Closer
}

func startEngine(dir, addr string) (*engine, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DEVCLICKHOUSE_CHILD="+dir, "DEVCLICKHOUSE_ADDR="+addr, "TZ=UTC")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line := bufio.NewScanner(out)
	if !line.Scan() {
		return nil, fmt.Errorf("the engine did not start: %w", cmd.Wait())
	}
	return &engine{addr: line.Text(), cmd: cmd, stdin: in}, nil
}

func (e *engine) stop() error {
	e.stdin.Close()
	return e.cmd.Wait()
}

func (e *engine) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait() // reports the kill
}

var (
	sharedOnce sync.Once
	shared     *engine
	sharedErr  error
)

// server returns the engine that the tests of this package share.
func server(t testing.TB) *engine {
	t.Helper()
	sharedOnce.Do(func() {
		shared, sharedErr = startEngine(temporary, "127.0.0.1:0")
	})
	require.NoError(t, sharedErr)
	return shared
}

// open returns a client with a database of its own.
func open(t testing.TB, set func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	e := server(t)
	name := "t_" + strings.ToLower(strings.NewReplacer("/", "_", "#", "_", "-", "_").Replace(t.Name()))
	require.Empty(t, post(t, e.addr, "", "CREATE DATABASE "+name))
	t.Cleanup(func() { post(t, e.addr, "", "DROP DATABASE "+name) })
	return connect(t, e.addr, name, set)
}

func connect(t testing.TB, addr, database string, set func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	o := &clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{addr}, Auth: clickhouse.Auth{Database: database}}
	if set != nil {
		set(o)
	}
	c, err := clickhouse.Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// call sends one request and returns the answer with its body.
func call(t testing.TB, addr, params, body string) (*http.Response, string) {
	t.Helper()
	res, err := http.Post("http://"+addr+"/?"+params, "text/plain", strings.NewReader(body))
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(b)
}

// post is call for requests that must succeed.
func post(t testing.TB, addr, params, body string) string {
	t.Helper()
	res, text := call(t, addr, params, body)
	require.Equal(t, 200, res.StatusCode, "%s", text)
	return text
}

func query(sql string) string { return "query=" + url.QueryEscape(sql) }
