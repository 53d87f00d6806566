package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// PostgresOptions says how to run a PostgreSQL. The zero value is a temporary
// server in memory, as fast as it gets and gone at Close.
type PostgresOptions struct {
	// URL is a server that runs already, as a user who may create roles and
	// databases; nothing is started then. Empty means the environment
	// variable DATABASE_URL, and if that is empty too, a private server.
	// "none" means: don't look at DATABASE_URL.
	URL string
	// Bin is a folder with initdb and postgres. Empty means: look for one.
	Bin string
	// Dir keeps the data between runs, safe against crashes. Empty means
	// nothing is kept. When root runs the server as another user who cannot
	// reach Dir, the data goes below /var/lib/ashlar (see PostgresServer.Dir).
	Dir string
	// TCP makes a private server listen on a free loopback port too, to which
	// the URLs lead then, instead of its socket alone.
	TCP bool
	// Database is created if it is missing. Empty means "app".
	Database string
	// Progress gets a line for each step that takes long. Nil means none.
	Progress io.Writer
}

// PostgresServer is a running PostgreSQL with the three roles that Ashlar's
// tenancy tells apart.
type PostgresServer struct {
	// AdminURL is the superuser's (or the given URL's) way in, OwnerURL the
	// migrations', AppURL the one that row-level security binds, SystemURL
	// the relays' and purges'. All name the same database.
	AdminURL, OwnerURL, AppURL, SystemURL string
	// Version is the server's, "15.18".
	Version string
	// Dir is where the data is; empty for a server given by URL.
	Dir string

	*process
}

// Postgres starts a PostgreSQL as opts say; nil means the zero options. The
// caller closes it.
func Postgres(ctx context.Context, opts *PostgresOptions) (*PostgresServer, error) {
	var o PostgresOptions
	if opts != nil {
		o = *opts
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Database == "" {
		o.Database = "app"
	}
	if o.URL == "" {
		o.URL = os.Getenv("DATABASE_URL")
	}
	if o.URL != "" && o.URL != "none" {
		return bootstrap(ctx, &PostgresServer{AdminURL: o.URL}, o.Database)
	}
	bin := o.Bin
	if bin == "" {
		var err error
		if bin, err = findPostgres(ctx, o.Progress); err != nil {
			var missing *NotFoundError
			if errors.As(err, &missing) && dockerAnswers(ctx) {
				return dockerPostgres(ctx, o)
			}
			return nil, err
		}
	}
	s, err := launchPostgres(ctx, bin, o)
	if err != nil {
		return nil, err
	}
	if s, err = bootstrap(ctx, s, o.Database); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func launchPostgres(ctx context.Context, bin string, o PostgresOptions) (_ *PostgresServer, err error) {
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	// The socket's folder is always a private temporary one: its name has a
	// length limit, and a second server must not find it.
	base := os.TempDir()
	if o.Dir == "" {
		base = ramDir(1 << 30)
	}
	run, err := os.MkdirTemp(base, "ashlar-pg-")
	if err != nil {
		return nil, err
	}
	s := &PostgresServer{}
	defer func() {
		if err != nil && s.process == nil { // else the watchdog removes it
			err = errors.Join(err, os.RemoveAll(run))
		}
	}()
	if err := who.own(run); err != nil {
		return nil, err
	}
	data, stop := filepath.Join(run, "data"), "QUIT"
	settings := []string{"fsync=off", "synchronous_commit=off", "full_page_writes=off", "checkpoint_timeout=30min", "max_wal_size=2GB"}
	if o.Dir != "" {
		if data, err = reachable(o.Dir, who); err != nil {
			return nil, err
		}
		stop, settings = "INT", nil // a fast, clean shutdown
	}
	if err := makeData(ctx, bin, data, who, o.Progress); err != nil {
		return nil, err
	}
	if err := waitForPrevious(ctx, data); err != nil {
		return nil, err
	}
	args := []string{"-D", data, "-k", run, "-h", ""}
	admin := socketURL("postgres", run, "postgres")
	if o.TCP {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		args = []string{"-D", data, "-k", run, "-h", "127.0.0.1", "-p", strconv.Itoa(port)}
		admin = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	}
	for _, s := range append(settings, "max_connections=300", "shared_buffers=128MB", "jit=off", "timezone=UTC") {
		args = append(args, "-c", s)
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.SysProcAttr = "/", who.sysProcAttr()
	s.Dir, s.AdminURL = data, admin
	if s.process, err = start(cmd, filepath.Join(run, "postgres.log"), stop, run); err != nil {
		return nil, fmt.Errorf("devstack: start %s: %w", cmd.Path, err)
	}
	pid := filepath.Join(data, "postmaster.pid")
	if err := s.wait(ctx, "PostgreSQL", func() bool { return postmasterReady(pid, cmd.Process.Pid) }); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close stops a server that devstack started; one given by URL stays.
func (s *PostgresServer) Close() error {
	if s == nil || s.process == nil {
		return nil
	}
	return s.process.Close()
}

// Kill ends the server as a crash would and waits until it is gone.
func (s *PostgresServer) Kill() error { return s.kill() }

func socketURL(user, dir, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + database, RawQuery: url.Values{"host": {dir}}.Encode()}
	return u.String()
}

// postmasterReady reads the status line that PostgreSQL (10 and later) writes
// as the eighth of postmaster.pid.
func postmasterReady(file string, pid int) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	lines := strings.Split(string(b), "\n")
	return len(lines) >= 8 && strings.TrimSpace(lines[0]) == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

// waitForPrevious waits for the server of a killed run, which its watchdog is
// about to stop, and refuses a directory in use.
func waitForPrevious(ctx context.Context, data string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if err != nil {
			return nil
		}
		line, _, _ := strings.Cut(string(b), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || !alive(pid) {
			return nil // PostgreSQL itself removes a stale file
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("devstack: %s is in use by another PostgreSQL (process %d): stop the program that started it", data, pid)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
