package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// lint runs the linters that internal/tools pins.
func lint(ctx context.Context, out io.Writer) error {
	tool := func(w io.Writer, name string, args ...string) error {
		return command(ctx, w, ".", "go", append([]string{"tool", "-modfile=internal/tools/go.mod", name}, args...)...).Run()
	}
	fmt.Fprintln(out, "staticcheck")
	err := tool(out, "staticcheck", "./...")
	fmt.Fprintln(out, "gofumpt")
	var unformatted bytes.Buffer
	if e := tool(io.MultiWriter(out, &unformatted), "gofumpt", "-l", "."); e != nil {
		err = errors.Join(err, e)
	} else if unformatted.Len() > 0 {
		err = errors.Join(err, errors.New("format the files above with go tool -modfile=internal/tools/go.mod gofumpt -w <file>"))
	}
	fmt.Fprintln(out, "actionlint")
	return errors.Join(err, tool(out, "actionlint"))
}
