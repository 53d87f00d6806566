package testenv

import (
	"errors"
	"testing"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// fatal ends the test because a server could not be had.
func fatal(t testing.TB, server string, err error) {
	t.Helper()
	var missing *devstack.NotFoundError
	if errors.As(err, &missing) {
		t.Fatalf("testenv: this test needs %s, which is not on this machine; run: %s (or: go run ./internal/dev setup)", server, missing.Line())
	}
	t.Fatalf("testenv: %s: %v", server, err)
}
