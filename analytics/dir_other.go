//go:build !unix

package analytics

import (
	"os"
	"path/filepath"
)

// lockDir opens the lock file without locking it: here the caller sees to it that one process owns the directory.
func lockDir(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
}

// syncDir does nothing: here directories cannot be synced.
func syncDir(string) error { return nil }
