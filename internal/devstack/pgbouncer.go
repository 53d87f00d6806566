package devstack

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// PgBouncerOptions says how to run a PgBouncer. The zero value pools
// transactions over few connections, so that tenants meet on them.
type PgBouncerOptions struct {
	// Mode is "transaction", "session" or "statement". Empty means
	// "transaction".
	Mode string
	// Conns bounds the connections to the server, for each role and database.
	// Zero means 4.
	Conns int
}

// PgBouncerServer is a running PgBouncer in front of a PostgreSQL.
type PgBouncerServer struct {
	dir string // of the socket

	*process
}

// pgBouncerPort is only part of the socket's name.
const pgBouncerPort = 6432

//go:embed pgbouncer.ini
var pgBouncerConfig string

var pgBouncerMissing = &NotFoundError{
	Server: "PgBouncer",
	Tried:  []string{"pgbouncer"},
	Install: map[string]string{
		"debian": "apt-get install -y pgbouncer",
		"macos":  "brew install pgbouncer",
		"any":    "see https://www.pgbouncer.org/install.html",
	},
}

// HasPgBouncer reports whether this machine has PgBouncer.
func HasPgBouncer() bool {
	_, err := lookAny("pgbouncer")
	return err == nil
}

// PgBouncer starts a PgBouncer in front of pg, for all its databases and
// roles, on a socket in a private directory. Nil opts mean the zero options.
// The caller closes it.
func PgBouncer(ctx context.Context, pg *PostgresServer, opts *PgBouncerOptions) (*PgBouncerServer, error) {
	var o PgBouncerOptions
	if opts != nil {
		o = *opts
	}
	if o.Mode == "" {
		o.Mode = "transaction"
	}
	if o.Conns == 0 {
		o.Conns = 4
	}
	bin, err := lookAny("pgbouncer")
	if err != nil {
		return nil, pgBouncerMissing
	}
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	s := &PgBouncerServer{dir: dir}
	if err := s.configure(pg, o, who); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	cmd := exec.Command(bin, filepath.Join(dir, "pgbouncer.ini"))
	cmd.Dir, cmd.SysProcAttr = dir, who.sysProcAttr()
	// It keeps nothing, and what TERM and QUIT mean changes with its version.
	if s.process, err = start(cmd, filepath.Join(dir, "pgbouncer.log"), "KILL", dir); err != nil {
		return nil, errors.Join(fmt.Errorf("devstack: start %s: %w", bin, err), os.RemoveAll(dir))
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.wait(ctx, "PgBouncer", s.listens); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// configure writes what PgBouncer reads: where the server is, and who may log
// in to it. The folder is private, so clients are trusted.
func (s *PgBouncerServer) configure(pg *PostgresServer, o PgBouncerOptions, who *account) error {
	users := map[string]string{}
	var target *pgx.ConnConfig
	for _, raw := range []string{pg.AdminURL, pg.OwnerURL, pg.AppURL, pg.SystemURL} {
		cfg, err := pgx.ParseConfig(raw)
		if err != nil {
			return fmt.Errorf("devstack: the server's URLs: %w", err)
		}
		target, users[cfg.User] = cfg, cfg.Password
	}
	var list strings.Builder
	for user, password := range users {
		fmt.Fprintf(&list, "%s %s\n", quoted(user), quoted(password))
	}
	tls := "disable"
	if target.TLSConfig != nil {
		tls = "require"
	}
	config := strings.NewReplacer("{host}", target.Host, "{port}", strconv.Itoa(int(target.Port)), "{dir}", s.dir,
		"{listen}", strconv.Itoa(pgBouncerPort), "{mode}", o.Mode, "{conns}", strconv.Itoa(o.Conns), "{tls}", tls,
	).Replace(pgBouncerConfig)
	for name, text := range map[string]string{"pgbouncer.ini": config, "users.txt": list.String()} {
		file := filepath.Join(s.dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		if err := who.own(file); err != nil {
			return err
		}
	}
	return who.own(s.dir)
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func (s *PgBouncerServer) listens() bool {
	c, err := net.Dial("unix", filepath.Join(s.dir, ".s.PGSQL."+strconv.Itoa(pgBouncerPort)))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// URL returns the way through PgBouncer to where raw, a URL of the server,
// leads. It makes pgx describe statements instead of keeping them prepared:
// before version 1.21 PgBouncer loses those between transactions.
func (s *PgBouncerServer) URL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.Host = ""
	u.User = url.User(u.User.Username())
	u.RawQuery = url.Values{
		"host": {s.dir}, "port": {strconv.Itoa(pgBouncerPort)}, "default_query_exec_mode": {"cache_describe"},
	}.Encode()
	return u.String()
}

// Close stops it.
func (s *PgBouncerServer) Close() error { return s.process.Close() }
