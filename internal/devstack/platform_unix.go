//go:build unix

package devstack

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// ownSession keeps the terminal's Ctrl-C from reaching a child before its
// owner has had its say.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// account is a user that servers run as; nil means the current one.
type account struct{ uid, gid int }

// serverAccount returns the account for servers that refuse to run as root.
// initdb wants a passwd entry, so it is a named one.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return &account{uid, gid}, nil
		}
	}
	return nil, errors.New("devstack: PostgreSQL refuses to run as root and there is no user postgres or nobody: run as another user")
}

func (a *account) sysProcAttr() *syscall.SysProcAttr {
	attr := ownSession()
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// freeBytes returns the room on the file system of dir, 0 if unknown.
func freeBytes(dir string) uint64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}

// alive reports whether a process has this id.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
