package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// nested are the modules that users never download; their tests run too.
func nested() []string { return []string{"internal/benchmarks", "internal/tools"} }

// test runs everything a change must pass. Its last line is
// "N passed, N failed, N skipped".
func test(ctx context.Context, out io.Writer, soak bool) error {
	if err := setup(ctx, out); err != nil {
		return err
	}
	fmt.Fprintln(out, "vet")
	// As the tests are built, everywhere: what is compiled without the race detector would be compiled once more with it.
	if err := command(ctx, out, ".", "go", "vet", "-race", "./...").Run(); err != nil {
		return fmt.Errorf("go vet: %w", err)
	}
	// The architecture first: it takes no time and explains the most.
	total := &tally{out: out}
	for _, run := range []struct {
		dir  string
		args []string
	}{
		{".", []string{"-race", "-vet=off", "./internal/archtest"}},
		{".", []string{"-race", "-vet=off", "./..."}},
		{nested()[0], []string{"-race", "./..."}},
		{nested()[1], []string{"-race", "./..."}},
	} {
		if err := goTest(ctx, total, run.dir, soak, run.args...); err != nil {
			total.report() // what is known so far
			return err
		}
	}
	total.report()
	switch {
	case total.failed > 0:
		return fmt.Errorf("%d failed", total.failed)
	case total.skipped > 0 && os.Getenv("CI") != "":
		return fmt.Errorf("%d skipped: in CI what was skipped was not tested", total.skipped)
	}
	return nil
}

func goTest(ctx context.Context, t *tally, dir string, soak bool, args ...string) error {
	timeout := "20m"
	if soak {
		timeout = "6h"
	}
	cmd := command(ctx, nil, dir, "go", append([]string{"test", "-json", "-timeout", timeout}, args...)...)
	if soak {
		cmd.Env = append(cmd.Environ(), "ASHLAR_SOAK=1")
	}
	cmd.Stdout, cmd.Stderr = nil, os.Stderr // not t.out: two writers would meet in it
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	before := t.failed
	readErr := t.read(events)
	if err := cmd.Wait(); err != nil && t.failed == before {
		// Not a failed test: an interrupt, or no packages at all.
		return fmt.Errorf("go test in %s: %w", dir, err)
	}
	return readErr
}

// tally counts the outcomes of tests.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[string][]string // of unfinished tests, by package and test
	failures                []string
}

// event is a line of go test -json, see go doc test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
	FailedBuild                               string
}

func (t *tally) read(r io.Reader) error {
	t.output = map[string][]string{}
	in := bufio.NewScanner(r)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Fprintln(t.out, in.Text())
			continue
		}
		t.add(e)
	}
	return in.Err()
}

func (t *tally) add(e event) {
	key := e.Package + " " + e.Test
	short := strings.TrimPrefix(strings.TrimPrefix(e.Package, "github.com/ashlar-go/ashlar"), "/")
	switch e.Action {
	case "build-output":
		t.output[e.ImportPath] = append(t.output[e.ImportPath], e.Output)
	case "output":
		if lines := t.output[key]; len(lines) < 2000 {
			t.output[key] = append(lines, e.Output)
		}
	case "pass", "skip", "fail":
		if e.Test == "" {
			t.finishPackage(e, short, key)
			return
		}
		switch e.Action {
		case "pass":
			t.passed++
		case "skip":
			t.skipped++
			fmt.Fprintf(t.out, "SKIP %s %s\n%s", short, e.Test, strings.Join(t.output[key], ""))
		case "fail":
			t.failed++
			failure := fmt.Sprintf("FAIL %s %s\n%s", short, e.Test, strings.Join(t.output[key], ""))
			t.failures = append(t.failures, failure)
			fmt.Fprint(t.out, failure)
		}
		delete(t.output, key)
	}
}

// finishPackage prints the progress line. A package may fail without a failed
// test: it does not build, or it panicked or ran out of time.
func (t *tally) finishPackage(e event, short, key string) {
	took := time.Duration(e.Elapsed * float64(time.Second)).Round(10 * time.Millisecond)
	switch e.Action {
	case "pass":
		fmt.Fprintf(t.out, "ok   %s %v\n", short, took)
	case "fail":
		unfinished := ""
		for k, lines := range t.output {
			if strings.HasPrefix(k, e.Package+" ") && k != key {
				unfinished += strings.Join(lines, "")
			}
		}
		text := strings.Join(t.output[e.FailedBuild], "") + unfinished + strings.Join(t.output[key], "")
		if e.FailedBuild != "" || unfinished != "" || !t.failedIn(short) {
			t.failed++
			failure := fmt.Sprintf("FAIL %s\n%s", short, text)
			t.failures = append(t.failures, failure)
			fmt.Fprint(t.out, failure)
		}
		fmt.Fprintf(t.out, "FAIL %s %v\n", short, took)
	}
	delete(t.output, key)
}

func (t *tally) failedIn(short string) bool {
	for _, f := range t.failures {
		if strings.HasPrefix(f, "FAIL "+short+" ") {
			return true
		}
	}
	return false
}

// report repeats the failures, so that they stand at the end of a long log,
// and prints the closing line.
func (t *tally) report() {
	for _, f := range t.failures {
		fmt.Fprint(t.out, "\n", f)
	}
	fmt.Fprintf(t.out, "\n%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
}
