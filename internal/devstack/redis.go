package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// RedisOptions says how to run a Redis. The zero value is a temporary server
// on a unix socket whose data is never written to disk.
type RedisOptions struct {
	// URL is a server that runs already; nothing is started then.
	// Empty means the environment variable REDIS_URL, and if that is empty
	// too, a private server. "none" means: don't look at REDIS_URL.
	URL string
	// Dir keeps the data between runs, written at every command
	// (appendonly, appendfsync always). Empty means nothing is kept.
	Dir string
	// TCP makes the server listen on a loopback port instead of a socket.
	TCP bool
	// Port is the loopback port when TCP is set. Zero means a free one.
	Port int
	// Args are further arguments of redis-server: "--maxmemory", "8mb".
	Args []string
	// Sentinel is a configuration; when it is given the server is a Sentinel,
	// which keeps what it learns in its directory.
	Sentinel string
}

// RedisServer is a running Redis.
type RedisServer struct {
	// URL is what redis.ParseURL takes.
	URL string
	// Addr is host:port or the path of the socket; empty for a server given
	// by URL.
	Addr string

	*process
}

var redisMissing = &NotFoundError{
	Server: "Redis",
	Tried:  []string{"REDIS_URL", "redis-server", "valkey-server"},
	Install: map[string]string{
		"debian": "apt-get install -y redis-server",
		"macos":  "brew install redis",
		"any":    "see https://redis.io/docs/latest/operate/oss_and_stack/install/",
	},
}

// Redis starts a Redis as opts say; nil means the zero options. The caller
// closes it.
func Redis(ctx context.Context, opts *RedisOptions) (*RedisServer, error) {
	var o RedisOptions
	if opts != nil {
		o = *opts
	}
	if o.URL == "" {
		o.URL = os.Getenv("REDIS_URL")
	}
	if o.URL != "" && o.URL != "none" {
		return &RedisServer{URL: o.URL}, nil
	}
	bin, err := lookAny("redis-server", "valkey-server")
	if err != nil {
		return nil, redisMissing
	}
	// Somebody may take the free port between our look and the server's
	// bind; another one is tried then.
	for try := 0; ; try++ {
		s, err := startRedis(ctx, bin, o)
		if err == nil || o.Port != 0 || !o.TCP || try == 3 || ctx.Err() != nil {
			return s, err
		}
	}
}

func startRedis(ctx context.Context, bin string, o RedisOptions) (*RedisServer, error) {
	dir, remove := o.Dir, ""
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp(ramDir(64<<20), "ashlar-redis-"); err != nil {
			return nil, err
		}
		remove = dir
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &RedisServer{}
	args := []string{"--dir", dir, "--databases", "1024", "--save", "", "--enable-debug-command", "local"}
	if o.Sentinel != "" {
		conf := filepath.Join(dir, "sentinel.conf")
		if _, err := os.Stat(conf); err != nil { // else it is the one of an earlier start
			if err := os.WriteFile(conf, []byte(o.Sentinel), 0o600); err != nil {
				return nil, err
			}
		}
		args = []string{conf, "--sentinel", "--dir", dir}
	}
	if o.Dir != "" && o.Sentinel == "" {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	network := "unix"
	if o.TCP {
		network = "tcp"
		if o.Port == 0 {
			if o.Port, err = freePort(); err != nil {
				return nil, err
			}
		}
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port))
		s.URL = "redis://" + s.Addr
		args = append(args, "--bind", "127.0.0.1", "--port", strconv.Itoa(o.Port))
	} else {
		s.Addr = filepath.Join(dir, "redis.sock")
		if len(s.Addr) > maxSocketPath {
			// A long work tree must not make the socket's name too long.
			if remove, err = tempDir(); err != nil {
				return nil, err
			}
			s.Addr = filepath.Join(remove, "redis.sock")
		}
		s.URL = "unix://" + s.Addr
		args = append(args, "--port", "0", "--unixsocket", s.Addr, "--unixsocketperm", "700")
	}
	cmd := exec.Command(bin, append(args, o.Args...)...)
	cmd.Dir = dir
	cmd.SysProcAttr = ownSession()
	if s.process, err = start(cmd, filepath.Join(dir, "redis.log"), "TERM", remove); err != nil {
		return nil, fmt.Errorf("devstack: start %s: %w", bin, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.wait(ctx, "redis-server", func() bool { return redisAnswers(network, s.Addr) }); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// redisAnswers reports whether a PING gets its PONG, or the answer that it
// takes a password; while the server loads its data it says LOADING.
func redisAnswers(network, addr string) bool {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	if c.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && (strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH"))
}

// Close stops a server that devstack started; one given by URL stays.
func (s *RedisServer) Close() error {
	if s.process == nil {
		return nil
	}
	return s.process.Close()
}

// Kill ends the server as a crash would and waits until it is gone.
func (s *RedisServer) Kill() error { return s.kill() }

// Signal sends a signal to the server, for tests that stop it for a while.
func (s *RedisServer) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }
