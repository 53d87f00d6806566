package analytics

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

// journal is the queue between Track and the store: a log on disk or a list in memory. next, settle and bury are
// called by one goroutine at a time, everything else by any.
type journal interface {
	// append returns when the record is as safe as it gets. frame is its encoded form.
	append(r Record, frame []byte) error
	// next returns the oldest batch that is not settled, the same one until it is; nil when there is none.
	next(maxRecords int) (*batch, error)
	// settle forgets the batch returned by next. An error does not undo that.
	settle(b *batch) error
	// bury keeps refused records for a human.
	bury(token string, records []Record, cause error) error
	// counts returns the records ever appended or found at the start, how many of them are settled, and the bytes that
	// the others take.
	counts() (total, settled uint64, bytes int64)
	// oldest returns the time of the oldest record not settled, or zero.
	oldest() time.Time
	durable() bool
	close() error
}

// batch is a run of records whose boundaries never change.
type batch struct {
	token   string
	records []Record
	bytes   int64 // of the backlog
	damaged int   // bytes in between that could not be read
	seg     *segment
	end     int64
}

// batchBytes bounds a batch beside the number of its records.
const batchBytes = 8 << 20

// memory is the journal without a directory.
type memory struct {
	id [16]byte

	mu      sync.Mutex
	queue   []Record
	sizes   []int64
	total   uint64
	settled uint64
	bytes   int64
	sealed  *batch
	closed  bool
}

func newMemory() *memory {
	m := &memory{}
	rand.Read(m.id[:])
	return m
}

func (m *memory) append(r Record, frame []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.queue = append(m.queue, r)
	m.sizes = append(m.sizes, int64(len(frame)))
	m.bytes += int64(len(frame))
	m.total++
	return nil
}

func (m *memory) next(maxRecords int) (*batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sealed != nil || len(m.queue) == 0 {
		return m.sealed, nil
	}
	b := &batch{token: fmt.Sprintf("%x-%d", m.id, m.settled)}
	n := 0
	for ; n < len(m.queue) && n < maxRecords && b.bytes < batchBytes; n++ {
		b.bytes += m.sizes[n]
	}
	b.records = m.queue[:n:n]
	m.sealed = b
	return b, nil
}

func (m *memory) settle(b *batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(b.records)
	// Copied, not sliced: the backing array of a queue that is never empty would otherwise keep all it ever held.
	m.queue = append([]Record(nil), m.queue[n:]...)
	m.sizes = append([]int64(nil), m.sizes[n:]...)
	m.settled += uint64(n)
	m.bytes -= b.bytes
	m.sealed = nil
	return nil
}

// bury has no place to keep them: they are reported and counted by the caller.
func (m *memory) bury(string, []Record, error) error { return nil }

func (m *memory) counts() (total, settled uint64, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total, m.settled, m.bytes
}

func (m *memory) oldest() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 {
		return time.Time{}
	}
	return m.queue[0].Time
}

func (m *memory) durable() bool { return false }

func (m *memory) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
