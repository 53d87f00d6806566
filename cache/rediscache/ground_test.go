package rediscache_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

const (
	attackKeys = 8
	attackRing = 1 << 16 // versions of which the time is remembered
)

// ground is what the processes of an attack agree on: memory in a file that all of them map.
// It stands for the database and for all-knowing observers of it.
type ground struct {
	over     atomic.Int64 // 1 when the attack is over
	ready    atomic.Int64 // processes whose memory is on
	finished atomic.Int64 // processes that write no more
	writes   atomic.Int64
	stale    atomic.Int64 // reads past memory, older than an acknowledged invalidation
	own      atomic.Int64 // reads older than an invalidation of the same process
	strict   atomic.Int64 // reads past memory, older than a commit with a hold
	rows     [attackKeys]row
	crowd    crowd // of a stampede
}

// row is the data behind one key.
type row struct {
	lock    atomic.Int64 // of its writers, the number of the process and one
	version atomic.Int64 // what a load reads: the last committed
	acked   atomic.Int64 // the last whose invalidation was acknowledged
	ackedAt [attackRing]atomic.Int64
}

// mapGround maps the file at path.
func mapGround(path string) (*ground, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := syscall.Mmap(int(f.Fd()), 0, int(unsafe.Sizeof(ground{})), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*ground)(unsafe.Pointer(&data[0])), nil // mapped until the process ends
}

func newGround(t *testing.T) (path string, g *ground) {
	path = filepath.Join(t.TempDir(), "ground")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, int64(unsafe.Sizeof(ground{}))))
	g, err := mapGround(path)
	require.NoError(t, err)
	return path, g
}

// commit makes version visible, and takes a while to say so.
func (r *row) commit(version int64) {
	r.version.Store(version)
	<-time.After(rand.N(2 * time.Millisecond))
}

// write runs change with the row locked against the writers of all processes.
func (r *row) write(process int, change func(version int64)) {
	for !r.lock.CompareAndSwap(0, int64(process)+1) {
		<-time.After(100 * time.Microsecond)
	}
	defer r.lock.Store(0)
	change(r.version.Load() + 1)
}

func (r *row) acknowledge(version int64) {
	r.ackedAt[version%attackRing].Store(time.Now().UnixNano())
	r.acked.Store(version)
}

// lateness is for how long version had been outdated, by an acknowledged invalidation, at the
// time of begin.
func (r *row) lateness(version int64, begin time.Time) time.Duration {
	if r.acked.Load()-version >= attackRing {
		return time.Hour
	}
	return time.Duration(begin.UnixNano() - r.ackedAt[(version+1)%attackRing].Load())
}
