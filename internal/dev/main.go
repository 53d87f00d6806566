// Command dev is the repository's one tool for developers and CI:
//
//	go run ./internal/dev setup        install what the tests need
//	go run ./internal/dev test         setup, vet, and all tests with the race detector
//	go run ./internal/dev soak         the same with the attacks in full length
//	go run ./internal/dev lint         staticcheck and gofumpt
//	go run ./internal/dev bench [name] compare with peers
//
// It runs from the root of the repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

const usage = `usage: go run ./internal/dev <command>

  setup          install the servers that the tests need (pinned, idempotent)
  test           setup, vet and all tests with the race detector, attacks short
  soak           the same with the attacks in full length
  lint           staticcheck and gofumpt
  bench [name]   compare with peers in the same run: all, or those whose names begin so, e.g. tenancy.
`

// errUsage is wrapped by errors that the usage answers.
var errUsage = errors.New("this command is not known")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dev:", err)
		if errors.Is(err, errUsage) {
			fmt.Fprint(os.Stderr, usage)
		}
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("no command: %w", errUsage)
	}
	if _, err := os.Stat("internal/dev"); err != nil {
		return errors.New("run it from the root of the repository: go run ./internal/dev " + strings.Join(args, " "))
	}
	switch {
	case args[0] == "bench" && len(args) <= 2:
		return bench(ctx, args[1:], out)
	case len(args) > 1:
		return fmt.Errorf("argument %q: %w", args[1], errUsage)
	case args[0] == "setup":
		return setup(ctx, out)
	case args[0] == "test":
		return test(ctx, out, false)
	case args[0] == "soak":
		return test(ctx, out, true)
	case args[0] == "lint":
		return lint(ctx, out)
	case args[0] == "help", args[0] == "-h", args[0] == "--help":
		_, err := io.WriteString(out, usage)
		return err
	}
	return fmt.Errorf("%q: %w", args[0], errUsage)
}

// command prepares a program whose output goes to out and that is asked, not
// killed, when ctx ends.
func command(ctx context.Context, out io.Writer, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

// bench runs the comparisons, which live in a module of their own because
// they import the peers.
func bench(ctx context.Context, blocks []string, out io.Writer) error {
	if err := setup(ctx, out); err != nil {
		return err
	}
	return command(ctx, out, "internal/benchmarks", "go", append([]string{"run", "."}, blocks...)...).Run()
}
