package analytics

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ledgerSpace is the length of a new ledger, reserved so that delivery, which makes room, needs none on a full disk.
const ledgerSpace = 4096

// segment is one data file and its ledger. size and closed are guarded by wal.mu; the rest belongs to whoever ships.
type segment struct {
	number  uint64
	id      [16]byte
	data    *os.File
	ledger  *os.File
	size    int64 // of the good part of the data file; what lies behind it was never acknowledged
	settled int64 // written under wal.mu
	tail    int64 // where the next entry of the ledger goes
	seals   []int64
	closed  bool // takes no more records
}

func segmentName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x", number))
}

// createSegment makes an empty segment that survives a power loss.
func createSegment(dir string, number uint64) (s *segment, err error) {
	s = &segment{number: number, size: headerSize, settled: headerSize}
	rand.Read(s.id[:])
	name := segmentName(dir, number)
	if s.data, err = os.OpenFile(name+".wal", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if s.ledger, err = os.OpenFile(name+".log", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600); err == nil {
		_, err = s.ledger.Write(make([]byte, ledgerSpace))
	}
	if err == nil {
		_, err = s.data.Write(appendHeader(nil, s.id))
	}
	if err == nil {
		err = errors.Join(s.data.Sync(), syncDir(dir))
	}
	if err != nil {
		return nil, errors.Join(err, s.remove(dir))
	}
	return s, nil
}

// openSegment opens a segment left by an earlier process. It counts the records that are not settled and the bytes behind
// the last good one.
func openSegment(dir string, number uint64) (s *segment, records uint64, torn int, err error) {
	s = &segment{number: number, closed: true}
	name := segmentName(dir, number)
	defer func() {
		if err != nil {
			s.closeFiles()
		}
	}()
	if s.data, err = os.OpenFile(name+".wal", os.O_RDWR, 0); err != nil {
		return s, 0, 0, err
	}
	content, err := io.ReadAll(s.data)
	if err != nil {
		return s, 0, 0, err
	}
	if s.id, err = parseHeader(content); err != nil {
		return s, 0, 0, fmt.Errorf("%s.wal: %w", name, err)
	}
	if s.ledger, err = os.OpenFile(name+".log", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return s, 0, 0, err
	}
	ledger, err := io.ReadAll(s.ledger)
	if err != nil {
		return s, 0, 0, err
	}
	var good int
	s.settled, s.seals, good = parseLedger(ledger, int64(len(content)))
	// What follows is void. It is overwritten, not cut off, to keep its space.
	s.tail = int64(good)
	if _, err = s.ledger.WriteAt(make([]byte, len(ledger)-good), s.tail); err != nil {
		return s, 0, 0, err
	}
	end := int(s.settled)
	for {
		start, stop, ok := nextFrame(content, end)
		if !ok {
			break
		}
		if _, err := parseRecord(content[start:stop]); err == nil {
			records++
		}
		end = stop
	}
	torn = len(content) - end
	if s.size = int64(end); len(s.seals) > 0 {
		s.size = max(s.size, s.seals[len(s.seals)-1])
	}
	return s, records, torn, nil
}

// read returns the next batch, sealing it first when it is new. size is the size to go by.
func (s *segment) read(size int64, maxRecords int) (*batch, error) {
	sealed := len(s.seals) > 0
	end := min(size, s.settled+batchBytes+maxFrame)
	maxBytes := batchBytes
	if sealed {
		// Limits may have changed since it was sealed; its boundaries must not.
		end = s.seals[0]
		maxRecords, maxBytes = int(end-s.settled), int(end-s.settled)
	}
	buf := make([]byte, end-s.settled)
	if _, err := s.data.ReadAt(buf, s.settled); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.data.Name(), err)
	}
	records, stop, damaged := readRecords(buf, maxRecords, maxBytes, sealed || end == size)
	b := &batch{seg: s, records: records, damaged: damaged, bytes: int64(stop), end: s.settled + int64(stop)}
	// Both ends: if the ledger was lost and boundaries are drawn anew, a store that knows the old batch must not take a
	// longer one for it.
	b.token = fmt.Sprintf("%x-%x-%x", s.id, s.settled, b.end)
	if !sealed {
		// On disk before the first attempt: after a crash the same records go out under the same token.
		if err := s.enter(b.end, entrySealed, true); err != nil {
			return nil, err
		}
		s.seals = append(s.seals, b.end)
	}
	return b, nil
}

// enter adds to the ledger. The place of an entry that failed is taken by the next one.
func (s *segment) enter(offset int64, kind uint32, sync bool) error {
	if _, err := s.ledger.WriteAt(appendEntry(nil, offset, kind), s.tail); err != nil {
		return err
	}
	if sync {
		if err := s.ledger.Sync(); err != nil {
			return err
		}
	}
	s.tail += entrySize
	return nil
}

func (s *segment) closeFiles() error {
	var errs []error
	for _, f := range []*os.File{s.data, s.ledger} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// remove deletes the files, data first: a ledger alone is harmless, data alone would be sent again under new tokens.
func (s *segment) remove(dir string) error {
	name := segmentName(dir, s.number)
	return errors.Join(s.closeFiles(), removeIfThere(name+".wal"), removeIfThere(name+".log"))
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
