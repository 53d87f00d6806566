//go:build !unix

package devstack

import (
	"errors"
	"syscall"
)

// Without unix there is no watchdog: only servers given by URL and docker
// work, and start is never reached.

func ownSession() *syscall.SysProcAttr { return nil }

type account struct{}

func serverAccount() (*account, error) {
	return nil, errors.New("devstack: servers are not started on this system: set DATABASE_URL, REDIS_URL and CLICKHOUSE_URL")
}

func (a *account) sysProcAttr() *syscall.SysProcAttr { return nil }

func (a *account) own(string) error { return nil }

func freeBytes(string) uint64 { return 0 }

func alive(int) bool { return false }
