package devstack

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// ErrNotFound says that the machine has no way to run a server.
// It is returned wrapped in a [NotFoundError].
var ErrNotFound = errors.New("devstack: server not found")

// NotFoundError names the missing server and how to get it.
type NotFoundError struct {
	Server string   // "PostgreSQL"
	Tried  []string // what was looked for, in order
	// Install has one line per system: "debian", "macos" and "any".
	Install map[string]string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("devstack: no %s on this machine (looked for %s); install it with: %s",
		e.Server, strings.Join(e.Tried, ", "), e.Line())
}

// Line returns the install command for this system.
func (e *NotFoundError) Line() string {
	if line := e.Install[map[string]string{"linux": "debian", "darwin": "macos"}[runtime.GOOS]]; line != "" {
		return line
	}
	return e.Install["any"]
}

// Unwrap returns [ErrNotFound].
func (e *NotFoundError) Unwrap() error { return ErrNotFound }
