// Command pulse is the reference product of Ashlar: an uptime monitor for
// teams. Without arguments it is a demo that brings its own servers:
//
//	go run ./examples/pulse
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pulse:", err)
		os.Exit(1)
	}
}

// run is the whole program. out is for people, logs go to errs.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) (err error) {
	c, err := parse(args, getenv, out)
	if errors.Is(err, errHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	s, err := startServers(ctx, c, errs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if c.role == "manage" {
		return migrateUp(ctx, s, out)
	}
	return serve(ctx, c, s, out, errs)
}
