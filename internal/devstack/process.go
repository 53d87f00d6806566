package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watchdog waits for its standard input to end, then stops process $0 with
// signal $2 and removes directory $1 if there is one. After the word "gone" it
// leaves the process alone: its id may be somebody else's. The kernel closes
// the pipe when the Go process ends for whatever reason, so no server outlives
// it.
const watchdog = `read word
if [ "$word" = gone ]; then
	read word
else
	kill -"$2" "$0" 2>/dev/null
	i=0
	while kill -0 "$0" 2>/dev/null && [ $i -lt 100 ]; do sleep 0.05; i=$((i+1)); done
	kill -KILL "$0" 2>/dev/null
fi
[ -n "$1" ] && rm -rf "$1"
exit 0`

// keepAlive holds every running process: were one collected, the finalizer of
// its pipe would let the watchdog stop a server that is still in use.
var keepAlive sync.Map

// process is a server child with its watchdog.
type process struct {
	cmd  *exec.Cmd
	log  string // file with its output
	dog  *exec.Cmd
	pipe io.WriteCloser
	done chan struct{} // closed after cmd was reaped
	once sync.Once
}

// start runs cmd with its output in the file log. stop is the name of the
// signal that ends it, remove a directory to delete afterwards or "".
func start(cmd *exec.Cmd, log, stop, remove string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	p.dog = exec.Command("/bin/sh", "-c", watchdog, strconv.Itoa(cmd.Process.Pid), remove, stop)
	p.dog.Dir = "/"
	p.dog.SysProcAttr = ownSession()
	p.pipe, err = p.dog.StdinPipe()
	if err == nil {
		err = p.dog.Start()
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("devstack: watchdog: %w", err)
	}
	keepAlive.Store(p, p)
	go func() {
		// The exit status is of no use: a server that is told to stop may
		// report it as a failure.
		_ = cmd.Wait()
		_, _ = io.WriteString(p.pipe, "gone\n") // fails if Close was first
		close(p.done)
	}()
	return p, nil
}

// Close stops the server, waits for it and for its files to be removed. The
// second call does nothing.
func (p *process) Close() error {
	var err error
	p.once.Do(func() {
		err = errors.Join(p.pipe.Close(), p.dog.Wait())
		<-p.done
		keepAlive.Delete(p)
	})
	return err
}

// kill ends the server at once, as a crash would; its files stay.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.done
	return err
}

// wait polls ready until it says yes, the process ends or ctx does.
func (p *process) wait(ctx context.Context, name string, ready func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("devstack: %s ended while starting: %s", name, lastLines(p.log))
		case <-ctx.Done():
			return fmt.Errorf("devstack: %s did not get ready: %w; its log ends with: %s", name, context.Cause(ctx), lastLines(p.log))
		}
	}
	return nil
}

// lastLines returns the end of a log on one line.
func lastLines(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}

// CacheDir returns the folder for what devstack keeps between runs, made if
// it is missing: a folder of the user's cache, or of the temporary directory
// where the user has none.
func CacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	dir := filepath.Join(base, "ashlar")
	return dir, os.MkdirAll(dir, 0o755)
}

// Pid returns the server's process id.
func (p *process) Pid() int { return p.cmd.Process.Pid }
