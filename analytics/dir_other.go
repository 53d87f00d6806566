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

// unlockDir closes the lock file.
func unlockDir(f *os.File) error { return f.Close() }

// syncDir does nothing: here directories cannot be synced.
func syncDir(string) error { return nil }
