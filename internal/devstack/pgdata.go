package devstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// makeData fills the directory data with a fresh cluster unless it holds one.
// The result of initdb is cached, because a copy takes a fifth of the time.
func makeData(ctx context.Context, bin, data string, who *account, progress io.Writer) error {
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		return nil
	}
	cache, err := cachedCluster(ctx, bin, who, progress)
	if err != nil {
		return err
	}
	part := data + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	// cp keeps owner and modes, which PostgreSQL checks; as root it also reads
	// a cache below a closed home directory.
	if out, err := exec.CommandContext(ctx, "cp", "-a", cache, part).CombinedOutput(); err != nil {
		return fmt.Errorf("devstack: copy the empty cluster: %w: %s", err, out)
	}
	return os.Rename(part, data)
}

// cachedCluster returns the directory of an empty cluster for the binaries in
// bin, made by initdb at the first call on this machine.
func cachedCluster(ctx context.Context, bin string, who *account, progress io.Writer) (string, error) {
	version, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("devstack: %s/postgres does not run: %w", bin, err)
	}
	base, err := CacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", version, bin, os.Geteuid()))
	final := filepath.Join(base, "pgdata-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	fmt.Fprintln(progress, "making an empty cluster of "+strings.TrimSpace(string(version)))
	// Made where the server's account can write, then moved into the cache in
	// one step: other processes see all of it or nothing.
	tmp, err := os.MkdirTemp("", "ashlar-initdb-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := who.own(tmp); err != nil {
		return "", err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", filepath.Join(tmp, "data"), "-U", "postgres",
		"-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = "/", who.sysProcAttr()
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("devstack: initdb: %w: %s", err, out)
	}
	part, err := os.MkdirTemp(base, "pgdata-part-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	if out, err := exec.CommandContext(ctx, "cp", "-a", filepath.Join(tmp, "data"), part).CombinedOutput(); err != nil {
		return "", fmt.Errorf("devstack: cache the empty cluster: %w: %s", err, out)
	}
	if err := os.Rename(filepath.Join(part, "data"), final); err != nil {
		if _, e := os.Stat(final); e == nil {
			return final, nil // another process was faster
		}
		return "", err
	}
	return final, nil
}

// reachable returns the directory for the data of dir: dir itself, or one
// below /var/lib when the server's account cannot get there (root's work tree
// often lies in a closed home).
func reachable(dir string, who *account) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil {
		return "", err
	}
	if who == nil {
		return abs, nil
	}
	test := exec.Command("/bin/sh", "-c", `cd "$0"`, filepath.Dir(abs))
	test.Dir, test.SysProcAttr = "/", who.sysProcAttr()
	if test.Run() == nil {
		return abs, nil
	}
	sum := sha256.Sum256([]byte(abs))
	moved := filepath.Join("/var/lib/ashlar", filepath.Base(abs)+"-"+hex.EncodeToString(sum[:6]))
	return moved, os.MkdirAll(filepath.Dir(moved), 0o755)
}
