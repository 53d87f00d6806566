package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// need is a program of the machine that the tests cannot do without.
type need struct {
	name      string
	has       func() bool
	apt, brew string
}

func needs() []need {
	return []need{
		{"PostgreSQL", devstack.HasPostgres, "postgresql", "postgresql@17"},
		{"PgBouncer", devstack.HasPgBouncer, "pgbouncer", "pgbouncer"},
		{"Redis", onPath("redis-server", "valkey-server"), "redis-server", "redis"},
		{"Chromium", onPath("chromium", "chromium-browser", "google-chrome"), "chromium", "--cask chromium"},
	}
}

func onPath(names ...string) func() bool {
	return func() bool {
		for _, name := range names {
			if _, err := exec.LookPath(name); err == nil {
				return true
			}
		}
		return false
	}
}

// setup installs what is missing; a second run finds everything and does
// nothing.
func setup(ctx context.Context, out io.Writer) error {
	var missing []need
	for _, n := range needs() {
		if !n.has() {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		if err := install(ctx, out, missing); err != nil {
			return err
		}
		for _, n := range missing {
			if !n.has() {
				return fmt.Errorf("%s is still missing after its installation", n.name)
			}
		}
	}
	if err := devstack.InstallClickHouse(ctx, out); err != nil {
		return fmt.Errorf("install the ClickHouse engine: %w", err)
	}
	return nil
}

// install uses the system's package manager, as root or through sudo where
// that asks nothing.
func install(ctx context.Context, out io.Writer, missing []need) error {
	var names, apt, brew []string
	for _, n := range missing {
		names = append(names, n.name)
		apt = append(apt, n.apt)
		brew = append(brew, strings.Fields(n.brew)...)
	}
	fmt.Fprintln(out, "setup: installing", strings.Join(names, ", "))
	switch {
	case runtime.GOOS == "darwin" && onPath("brew")():
		return command(ctx, out, "", "brew", append([]string{"install"}, brew...)...).Run()
	case onPath("apt-get")():
		prefix, err := rootPrefix(ctx)
		if err != nil {
			return fmt.Errorf("%w: apt-get install -y %s", err, strings.Join(apt, " "))
		}
		for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-y", "-q", "--no-install-recommends"}, apt...)} {
			words := append(append(prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"), args...)
			if err := quietly(command(ctx, nil, "", words[0], words[1:]...)); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("install %s with your package manager, then try again", strings.Join(names, ", "))
}

func rootPrefix(ctx context.Context) ([]string, error) {
	if os.Geteuid() == 0 {
		return nil, nil
	}
	if exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil {
		return []string{"sudo", "-n"}, nil
	}
	return nil, errors.New("run this as root, then try again")
}

// quietly runs a talkative program and shows what it said only if it failed.
func quietly(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = nil, nil
	said, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said)
	}
	return nil
}
