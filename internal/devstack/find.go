package devstack

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// maxSocketPath is what every unix allows for the name of a socket: macOS
// has 104 bytes with the closing zero, Linux 108.
const maxSocketPath = 100

// lookAny returns the first of the programs that the machine has, on PATH or
// where package managers put servers.
func lookAny(names ...string) (string, error) {
	var err error
	for _, name := range names {
		var p string
		if p, err = exec.LookPath(name); err == nil {
			return p, nil
		}
		for _, dir := range []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/local/bin"} {
			if p, e := exec.LookPath(filepath.Join(dir, name)); e == nil {
				return p, nil
			}
		}
	}
	return "", err
}

// ramDir returns a directory in memory if it has that much room (containers
// often give 64 MB only), else the temporary directory.
func ramDir(need uint64) string {
	if freeBytes("/dev/shm") >= need {
		return "/dev/shm"
	}
	return os.TempDir()
}

// tempDir returns a new private directory for a server's run-time files.
func tempDir() (string, error) { return os.MkdirTemp("", "ashlar-") }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
