package devstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const clickhousePackage = "github.com/ashlar-go/ashlar/analytics/devclickhouse/cmd/devclickhouse"

// devClickHouse returns the devclickhouse program and sees to it that its
// engine is installed. It is a program of its own, built once per state of its
// source, so that neither the engine nor its loader gets into the caller.
func devClickHouse(ctx context.Context, progress io.Writer) (string, error) {
	bin, err := buildDevClickHouse(ctx)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	cmd := exec.CommandContext(ctx, bin, "-install")
	cmd.Stderr = &text
	if progress != nil {
		cmd.Stderr = io.MultiWriter(&text, progress)
	}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == exitUnavailable:
		return "", clickhouseMissing
	case err != nil:
		return "", fmt.Errorf("devstack: install ClickHouse: %w: %s", err, strings.TrimSpace(text.String()))
	}
	return bin, nil
}

// exitUnavailable is devclickhouse's exit code where its engine cannot be had.
const exitUnavailable = 3

func buildDevClickHouse(ctx context.Context) (string, error) {
	goBin, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("devstack: the Go toolchain is needed to build %s: %w", clickhousePackage, err)
	}
	source, err := devClickHouseSource(ctx, goBin)
	if err != nil {
		return "", err
	}
	key, err := sourceHash(source)
	if err != nil {
		return "", err
	}
	base, err := CacheDir()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(base, "devclickhouse-"+runtime.GOOS+"-"+runtime.GOARCH+"-"+key)
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	part, err := os.MkdirTemp(base, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	cmd := exec.CommandContext(ctx, goBin, "build", "-o", filepath.Join(part, "devclickhouse"), "./cmd/devclickhouse")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("devstack: build %s: %w: %s", clickhousePackage, err, out)
	}
	return bin, os.Rename(filepath.Join(part, "devclickhouse"), bin)
}

// devClickHouseSource finds the source beside this file, or, in a program built
// with -trimpath, through the module of the working directory.
func devClickHouseSource(ctx context.Context, goBin string) (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		dir := filepath.Join(filepath.Dir(file), "..", "..", "analytics", "devclickhouse")
		if _, err := os.Stat(filepath.Join(dir, "doc.go")); err == nil {
			return dir, nil
		}
	}
	cmd := exec.CommandContext(ctx, goBin, "list", "-f", "{{.Dir}}", clickhousePackage)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("devstack: the source of %s is not here: run inside the module or set CLICKHOUSE_URL: %w", clickhousePackage, err)
	}
	return filepath.Dir(filepath.Dir(strings.TrimSpace(string(out)))), nil
}

// sourceHash names a state of the program: its files, the versions of its
// modules and the toolchain's.
func sourceHash(dir string) (string, error) {
	h := sha256.New()
	files := []string{filepath.Join(dir, "..", "..", "go.mod")}
	for _, pattern := range []string{"*.go", filepath.Join("cmd", "devclickhouse", "*.go")} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", filepath.Base(file), len(b), b)
	}
	fmt.Fprint(h, runtime.Version())
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}
