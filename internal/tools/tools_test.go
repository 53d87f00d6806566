// Package tools_test checks that the pinned tools build and run.
package tools_test

import (
	"os/exec"
	"testing"
)

func TestToolsRun(t *testing.T) {
	for _, args := range [][]string{
		{"tool", "staticcheck", "-version"},
		{"tool", "gofumpt", "-version"},
		{"tool", "actionlint", "-version"},
	} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			t.Errorf("go %v: %v\n%s", args, err, out)
		}
	}
}
