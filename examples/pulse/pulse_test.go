package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test binary pulse itself when it is told so: the tests
// start it as a program of its own, to kill and to stop it.
func TestMain(m *testing.M) {
	if os.Getenv("PULSE_TEST_RUN") == "" {
		os.Exit(m.Run())
	}
	main()
	os.Exit(0)
}

// program is a running pulse.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	base  string
	logs  *buffer
	done  chan struct{}
	err   error // once done, like ended
	ended time.Time
}

// buffer is what a program writes, read while it does.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// command prepares pulse with an environment that names no server.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasSuffix(name, "_URL") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "PULSE_TEST_RUN=1")
	return cmd
}

// start runs the demo on a free port with its data in dir, and returns when
// it says that it is there.
func start(t *testing.T, dir, port string) *program {
	t.Helper()
	return startCommand(t, port, nil, "-listen", "127.0.0.1:"+port, "-data", dir)
}

func startCommand(t *testing.T, port string, env []string, args ...string) *program {
	t.Helper()
	p := &program{t: t, base: "http://127.0.0.1:" + port, logs: &buffer{}, done: make(chan struct{})}
	p.cmd = command(args...)
	p.cmd.Env = append(p.cmd.Env, env...)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.cmd.Stderr = p.logs
	require.NoError(t, p.cmd.Start())
	ready := make(chan bool, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			fmt.Fprintln(p.logs, lines.Text())
			if strings.HasPrefix(lines.Text(), "pulse is at ") {
				ready <- true
			}
		}
		close(ready)
	})
	go func() {
		reader.Wait()
		p.err, p.ended = p.cmd.Wait(), time.Now()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
		if t.Failed() {
			t.Log(p.logs)
		}
	})
	if !<-ready {
		t.Fatalf("pulse did not start:\n%s", p.logs)
	}
	return p
}

// end waits for the program's end, which must be a clean one and come within
// 5 s of the signal.
func (p *program) end(signalled time.Time) {
	p.t.Helper()
	const within = 5 * time.Second
	select {
	case <-p.done:
		require.NoError(p.t, p.err, p.logs)
		took := p.ended.Sub(signalled)
		p.t.Logf("pulse ended after %v", took.Round(time.Millisecond))
		require.Less(p.t, took, within)
	case <-time.After(time.Minute): // what the test itself was held up is not the program's
		p.t.Fatal("pulse still runs after a minute")
	}
}

// dataDir returns a folder that PostgreSQL's account can reach, too, when the
// tests run as root.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		require.NoError(t, os.Chmod(d, 0o755))
	}
	return dir
}

// ports are those that freePort has given out.
var ports sync.Map

// freePort returns a port that nobody listens on, for one who binds it later,
// and again after a kill. It is none of those that Linux, and others, give to
// connections meanwhile unless they are told otherwise.
func freePort(t *testing.T) string {
	t.Helper()
	const first, end = 20000, 32768
	for range 1000 {
		port := first + rand.IntN(end-first)
		if _, given := ports.LoadOrStore(port, true); given {
			continue
		}
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			require.NoError(t, l.Close())
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no port is free")
	return ""
}

// call sends a request as a team and decodes the answer.
func (p *program) call(method, path, key string, body, answer any) int {
	p.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		require.NoError(p.t, err)
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, in)
	require.NoError(p.t, err)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	if answer != nil && res.StatusCode < 300 {
		require.NoError(p.t, json.Unmarshal(b, answer), "%s", b)
	}
	return res.StatusCode
}

// eventually polls a server of another process.
func eventually(t *testing.T, why string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, time.Minute, 100*time.Millisecond, why)
}

// TestReadmeSession runs the README's session as it stands there, against a
// pulse of its own, and then ends it with Ctrl-C.
func TestReadmeSession(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	session := regexp.MustCompile("(?s)<!-- session -->\n```sh\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, session, "README.md has no session")
	p := start(t, dataDir(t), freePort(t))
	script := strings.Replace(string(session[1]), "http://127.0.0.1:8080", p.base, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, want := range []string{
		`"state":"up"`, `"state":"down"`, "HTTP 503 Service Unavailable", "Shop is down", "\n304\n", "\n[]",
		"402 Payment Required", "application/problem+json", `"upgrade":"pro"`, "Shop works again",
	} {
		require.Contains(t, string(out), want, "%s", out)
	}
	servers := serversOf(t, p)
	signalled := time.Now()
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	p.end(signalled)
	gone(t, servers)
}

// gone waits for the servers of a pulse that has ended.
func gone(t *testing.T, servers []int) {
	t.Helper()
	for _, pid := range servers {
		eventually(t, "a server outlived its pulse", func() bool { return !alive(pid) })
	}
}

// TestKillLosesNothing kills pulse in the middle of its checks and alerts,
// and expects everything that was accepted after the restart.
func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	dir, port := dataDir(t), freePort(t)
	p := start(t, dir, port)
	var team struct {
		Key  string `json:"api_key"`
		Slug string `json:"slug"`
	}
	require.Equal(t, 201, p.call("POST", "/signup", "", map[string]string{"team": "Acme", "slug": "acme", "email": "ops@acme.example"}, &team))
	var monitor struct{ ID, State string }
	require.Equal(t, 201, p.call("POST", "/monitors", team.Key, map[string]string{"name": "Shop", "url": p.base + "/demo/site", "interval": "5s"}, &monitor))

	// Down: the alert is on its way at some point of the next seconds.
	require.Equal(t, 204, p.call("PUT", "/demo/site?up=false", "", nil, nil))
	for i := range 3 {
		require.Equal(t, 202, p.call("POST", "/monitors/"+monitor.ID+"/checks", team.Key, nil, nil), i)
	}
	kills := 3
	for range kills {
		servers := serversOf(t, p)
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGKILL))
		<-p.done
		gone(t, servers)
		p = start(t, dir, port)
		// The demo site forgets that it is broken.
		require.Equal(t, 204, p.call("PUT", "/demo/site?up=false", "", nil, nil))
		require.Equal(t, 202, p.call("POST", "/monitors/"+monitor.ID+"/checks", team.Key, nil, nil), "the team and its monitor are there")
	}
	var incidents []struct{ ID string }
	eventually(t, "the incident", func() bool {
		p.call("GET", "/incidents", team.Key, nil, &incidents)
		return len(incidents) >= 1
	})
	eventually(t, "the alert", func() bool { return len(p.mail("Shop is down")) >= 1 })
	require.Equal(t, 204, p.call("PUT", "/demo/site?up=true", "", nil, nil))
	eventually(t, "the recovery", func() bool { return len(p.mail("Shop works again")) >= 1 })
	// The checks go on by themselves.
	before := p.checks(team.Key, monitor.ID)
	eventually(t, "further checks", func() bool { return p.checks(team.Key, monitor.ID) > before })
	signalled := time.Now()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.end(signalled)
	require.DirExists(t, filepath.Join(dir, "inbox"))
}

// mail returns the subjects in the dev inbox that contain a text.
func (p *program) mail(text string) []string {
	var page map[string]any
	p.call("GET", "/inbox/messages.json", "", nil, &page)
	b, err := json.Marshal(page)
	require.NoError(p.t, err)
	return regexp.MustCompile(regexp.QuoteMeta(text)).FindAllString(string(b), -1)
}

func (p *program) checks(key, monitor string) (n int64) {
	var out struct{ Hours []struct{ Checks int64 } }
	p.call("GET", "/monitors/"+monitor+"/uptime", key, nil, &out)
	for _, h := range out.Hours {
		n += h.Checks
	}
	return n
}

// serversOf returns the processes that a pulse started.
func serversOf(t *testing.T, p *program) []int {
	t.Helper()
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(p.cmd.Process.Pid)).Output()
	require.NoError(t, err)
	var pids []int
	for _, f := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(f)
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	require.GreaterOrEqual(t, len(pids), 6, "PostgreSQL, Redis, ClickHouse, and a watchdog each")
	return pids
}

func alive(pid int) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}
