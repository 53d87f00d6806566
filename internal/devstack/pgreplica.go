package devstack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// Replica starts a streaming replica of s, a server that devstack started: a hot standby that applies commits no earlier
// than delay after they were made. It has the roles and databases of s, under URLs of its own, and outlives it. The caller
// closes it.
func (s *PostgresServer) Replica(ctx context.Context, delay time.Duration) (_ *PostgresServer, err error) {
	if s.process == nil {
		return nil, errors.New("devstack: a replica needs a primary that devstack started")
	}
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	run, err := os.MkdirTemp(filepath.Dir(filepath.Dir(s.Dir)), "ashlar-pg-")
	if err != nil {
		return nil, err
	}
	r := &PostgresServer{Version: s.Version, Dir: filepath.Join(run, "data")}
	defer func() {
		if err != nil && r.process == nil { // else the watchdog removes it
			err = errors.Join(err, os.RemoveAll(run))
		}
	}()
	if err := who.own(run); err != nil {
		return nil, err
	}
	admin, err := url.Parse(s.AdminURL)
	if err != nil {
		return nil, err
	}
	bin := s.cmd.Path
	backup := exec.CommandContext(ctx, filepath.Join(filepath.Dir(bin), "pg_basebackup"), "-h", admin.Query().Get("host"), "-U", "postgres",
		"-D", r.Dir, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	backup.Dir, backup.SysProcAttr = "/", who.sysProcAttr()
	if out, err := backup.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("devstack: pg_basebackup: %w: %s", err, out)
	}
	args := []string{"-D", r.Dir, "-k", run, "-h", ""}
	for _, set := range []string{
		"hot_standby=on", fmt.Sprintf("recovery_min_apply_delay=%d", delay.Milliseconds()), "wal_retrieve_retry_interval=100ms",
		"fsync=off", "max_connections=300", "shared_buffers=64MB", "jit=off", "timezone=UTC",
	} {
		args = append(args, "-c", set)
	}
	cmd := exec.Command(bin, args...)
	cmd.Dir, cmd.SysProcAttr = "/", who.sysProcAttr()
	if r.process, err = start(cmd, filepath.Join(run, "postgres.log"), "QUIT", run); err != nil {
		return nil, fmt.Errorf("devstack: start the replica: %w", err)
	}
	for to, from := range map[*string]string{&r.AdminURL: s.AdminURL, &r.OwnerURL: s.OwnerURL, &r.AppURL: s.AppURL, &r.SystemURL: s.SystemURL} {
		*to = onSocket(from, run)
	}
	if err := r.wait(ctx, "the replica", func() bool { return answers(ctx, r.AdminURL) }); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func answers(ctx context.Context, target string) bool {
	conn, err := pgx.Connect(ctx, target)
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// onSocket changes a URL that is known to parse.
func onSocket(raw, dir string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.RawQuery = url.Values{"host": {dir}}.Encode()
	return u.String()
}
