package analytics

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// segmentBytes is when a new segment begins. Delivered segments are deleted whole.
const segmentBytes = 16 << 20

// wal is the journal on disk. Concurrent appends share an fsync: the first caller writes for all who arrive until it
// is done with the disk, then hands over to one of those who came meanwhile. No goroutine is needed for that.
type wal struct {
	dir  string
	lock *os.File

	mu       sync.Mutex
	segments []*segment // ascending; only the last takes records
	number   uint64     // of the newest segment ever
	group    *commit    // collects the next write
	leading  bool       // somebody is writing
	idle     *sync.Cond // leading became false
	total    uint64
	settled  uint64
	bytes    int64 // not settled
	closed   bool

	unreadable int // bytes of segments set aside by load
}

// commit is one group of records that shares a write and an fsync.
type commit struct {
	buf  []byte
	n    uint64
	lead chan struct{} // one waiter takes over the writing
	done chan struct{} // err is final
	err  error
}

func newCommit() *commit {
	return &commit{lead: make(chan struct{}, 1), done: make(chan struct{})}
}

// openWAL takes ownership of the directory and reads what an earlier process left.
func openWAL(dir string, log *slog.Logger) (*wal, error) {
	if err := makeDir(filepath.Join(dir, "dead")); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	w := &wal{dir: dir, lock: lock, group: newCommit()}
	w.idle = sync.NewCond(&w.mu)
	if err := w.load(log); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *wal) load(log *slog.Logger) error {
	entries, err := os.ReadDir(w.dir) // sorted, and the names are zero-padded
	if err != nil {
		return err
	}
	for _, e := range entries {
		base, isData := strings.CutSuffix(e.Name(), ".wal")
		number, err := strconv.ParseUint(base, 16, 64)
		if !isData || err != nil || segmentName("", number) != base {
			continue
		}
		w.number = max(w.number, number)
		s, records, torn, err := openSegment(w.dir, number)
		if errors.Is(err, errBadHeader) {
			if err := w.setAside(number); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if torn > 0 {
			log.Warn("analytics: ignored an unfinished write at the end of a segment", "file", base+".wal", "bytes", torn)
		}
		w.segments = append(w.segments, s)
		w.total += records
		w.bytes += s.size - s.settled
	}
	return nil
}

// setAside handles a segment without a header: the creation that a crash cut short, or damage for a human to look at.
func (w *wal) setAside(number uint64) error {
	name := segmentName(w.dir, number)
	info, err := os.Stat(name + ".wal")
	if err != nil {
		return err
	}
	if info.Size() <= headerSize {
		return errors.Join(removeIfThere(name+".wal"), removeIfThere(name+".log"))
	}
	w.unreadable += int(info.Size())
	// Numbers start over when all is delivered, so the name alone could hit one set aside before.
	kept := fmt.Sprintf("%s-%d.wal", filepath.Base(name), time.Now().UnixNano())
	return errors.Join(os.Rename(name+".wal", filepath.Join(w.dir, "dead", kept)), removeIfThere(name+".log"))
}

func (w *wal) append(_ Record, frame []byte) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return ErrClosed
	}
	c := w.group
	c.buf = append(c.buf, frame...)
	c.n++
	leader := !w.leading
	w.leading = true
	w.mu.Unlock()

	if leader {
		w.write(c)
		return c.err
	}
	select {
	case <-c.lead:
		w.write(c)
	case <-c.done:
	}
	return c.err
}

// write commits a group and hands the lead to a waiter of the next one.
func (w *wal) write(c *commit) {
	w.mu.Lock()
	w.group = newCommit()
	s, err := w.active(int64(len(c.buf)))
	w.mu.Unlock()
	if err == nil {
		if _, err = s.data.WriteAt(c.buf, s.size); err == nil { // only the leader changes size
			err = s.data.Sync()
		}
		if err != nil {
			// What a failed fsync left on the disk is unknown. Cut it off if that still works, and start over elsewhere.
			err = errors.Join(err, s.data.Truncate(s.size))
		}
	}

	w.mu.Lock()
	if err != nil {
		if s != nil {
			err = errors.Join(err, w.abandon(s))
		}
		c.err = fmt.Errorf("write-ahead log: %w", err)
	} else {
		s.size += int64(len(c.buf))
		w.bytes += int64(len(c.buf))
		w.total += c.n
	}
	if w.group.n > 0 {
		w.group.lead <- struct{}{}
	} else {
		w.leading = false
		w.idle.Broadcast()
	}
	w.mu.Unlock()
	close(c.done)
}

// abandon keeps the newest segment from further use. Without records it goes at once: a disk that stays full would
// otherwise leave two open files behind for each attempt. The caller holds mu.
func (w *wal) abandon(s *segment) error {
	s.closed = true
	if s.size > headerSize {
		return nil
	}
	w.segments = w.segments[:len(w.segments)-1]
	return s.remove(w.dir)
}

// active returns the segment to write n bytes to. The caller holds mu.
func (w *wal) active(n int64) (*segment, error) {
	if w.closed {
		return nil, ErrClosed
	}
	if len(w.segments) > 0 {
		s := w.segments[len(w.segments)-1]
		if !s.closed && (s.size+n <= segmentBytes || s.size == headerSize) {
			return s, nil
		}
		s.closed = true
	}
	w.number++ // even if it fails: what that leaves may not be in the way of the next
	s, err := createSegment(w.dir, w.number)
	if err != nil {
		return nil, err
	}
	w.segments = append(w.segments, s)
	return s, nil
}

func (w *wal) next(maxRecords int) (*batch, error) {
	s, size, err := w.pending()
	if s == nil || err != nil {
		return nil, err
	}
	return s.read(size, maxRecords)
}

// pending returns the oldest segment with undelivered records, and its size.
func (w *wal) pending() (*segment, int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.reap(); err != nil {
		return nil, 0, err
	}
	if len(w.segments) == 0 || w.segments[0].settled == w.segments[0].size {
		w.settled = w.total // damage after the count at the start may have eaten records
		return nil, 0, nil
	}
	return w.segments[0], w.segments[0].size, nil
}

// reap deletes delivered segments that take no more records. The caller holds mu.
func (w *wal) reap() error {
	var errs []error
	for len(w.segments) > 0 && w.segments[0].closed && w.segments[0].settled == w.segments[0].size {
		errs = append(errs, w.segments[0].remove(w.dir))
		w.segments = w.segments[1:]
	}
	return errors.Join(errs...)
}

func (w *wal) settle(b *batch) error {
	// Not synced: if the entry is lost, the batch goes out again with the same token.
	err := b.seg.enter(b.end, entrySettled, false)
	w.mu.Lock()
	defer w.mu.Unlock()
	b.seg.settled = b.end
	b.seg.seals = b.seg.seals[1:]
	w.settled += uint64(len(b.records))
	w.bytes -= b.bytes
	return errors.Join(err, w.reap())
}

func (w *wal) counts() (total, settled uint64, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total, w.settled, w.bytes
}

func (w *wal) oldest() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.segments {
		if s.settled == s.size {
			continue
		}
		buf := make([]byte, min(s.size-s.settled, maxFrame))
		if _, err := s.data.ReadAt(buf, s.settled); err != nil {
			return time.Time{}
		}
		if records, _, _ := readRecords(buf, 1, len(buf), true); len(records) > 0 {
			return records[0].Time
		}
	}
	return time.Time{}
}

func (w *wal) durable() bool { return true }

// close releases the directory. A write under way finishes first; records waiting for the next one get ErrClosed.
func (w *wal) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for w.leading {
		w.idle.Wait()
	}
	var errs []error
	for _, s := range w.segments {
		errs = append(errs, s.closeFiles())
	}
	w.segments = nil
	return errors.Join(append(errs, unlockDir(w.lock))...)
}
