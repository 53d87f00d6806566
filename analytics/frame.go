package analytics

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"time"
)

// The write-ahead log is a directory of segments. A segment is a data file (NNN.wal) and a ledger (NNN.log); all
// integers are little-endian.
//
//	data file = header, frame…
//	header    = "ashl" version(1) zero(3) id(16) crc32c(4)      id is random: it makes the tokens of the batches unique
//	frame     = 0xA5 0x1E kind(1) zero(1) length(4) crc32c(4) payload    the checksum covers kind to length, and payload
//	record    = milliseconds(varint) then id, tenant, name, user, props, each as length(uvarint) and bytes
//	ledger    = entry… zero…
//	entry     = offset(8) kind(4) crc32c(4)                     sealed: a batch ends here; settled: it was delivered
//
// Frames start with a mark so that a reader finds the next whole frame behind a damaged spot.
const (
	headerSize    = 28
	formatVersion = 1

	frameHead  = 12
	frameMark0 = 0xA5
	frameMark1 = 0x1E
	kindRecord = 1

	entrySize    = 16
	entrySealed  = 1
	entrySettled = 2

	// maxRecord bounds a payload, and with it what a damaged length can make a reader believe.
	maxRecord = 64 << 10
	maxFrame  = frameHead + maxRecord
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendHeader(b []byte, id [16]byte) []byte {
	start := len(b)
	b = append(b, 'a', 's', 'h', 'l', formatVersion, 0, 0, 0)
	b = append(b, id[:]...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

var (
	errBadHeader  = errors.New("not a segment, or a damaged one")
	errNewVersion = errors.New("written by a newer version of this package")
)

func parseHeader(b []byte) (id [16]byte, err error) {
	if len(b) < headerSize || string(b[:4]) != "ashl" ||
		crc32.Checksum(b[:headerSize-4], castagnoli) != binary.LittleEndian.Uint32(b[headerSize-4:]) {
		return id, errBadHeader
	}
	if b[4] != formatVersion {
		return id, errNewVersion
	}
	return [16]byte(b[8:24]), nil
}

// appendFrame appends a record frame. The caller checks the size of the payload with frameSize.
func appendFrame(b []byte, r Record) []byte {
	start := len(b)
	b = append(b, frameMark0, frameMark1, kindRecord, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.AppendVarint(b, r.Time.UnixMilli())
	for _, s := range [...]string{r.ID, r.Tenant, r.Name, r.User} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	b = append(binary.AppendUvarint(b, uint64(len(r.Props))), r.Props...)
	frame := b[start:]
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(frame)-frameHead))
	binary.LittleEndian.PutUint32(frame[8:], frameSum(frame))
	return b
}

func frameSum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[2:8], castagnoli), castagnoli, frame[frameHead:])
}

// frameAt returns the end of the whole and undamaged frame at off.
func frameAt(b []byte, off int) (end int, ok bool) {
	if len(b)-off < frameHead || b[off] != frameMark0 || b[off+1] != frameMark1 {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(b[off+4:])
	if n > maxRecord || len(b)-off-frameHead < int(n) {
		return 0, false
	}
	end = off + frameHead + int(n)
	return end, frameSum(b[off:end]) == binary.LittleEndian.Uint32(b[off+8:])
}

// nextFrame returns the bounds of the first whole frame at or behind off.
func nextFrame(b []byte, off int) (start, end int, ok bool) {
	for ; off+frameHead <= len(b); off++ {
		if end, ok := frameAt(b, off); ok {
			return off, end, true
		}
	}
	return 0, 0, false
}

var errBadRecord = errors.New("damaged record")

func parseRecord(frame []byte) (Record, error) {
	var r Record
	if frame[2] != kindRecord {
		return r, errBadRecord
	}
	b := frame[frameHead:]
	ms, n := binary.Varint(b)
	if n <= 0 {
		return r, errBadRecord
	}
	r.Time, b = time.UnixMilli(ms).UTC(), b[n:]
	for _, s := range [...]*string{&r.ID, &r.Tenant, &r.Name, &r.User} {
		f, rest, ok := cutBytes(b)
		if !ok {
			return r, errBadRecord
		}
		*s, b = string(f), rest
	}
	props, rest, ok := cutBytes(b)
	if !ok || len(rest) > 0 {
		return r, errBadRecord
	}
	r.Props = append(r.Props, props...)
	return r, nil
}

func cutBytes(b []byte) (field, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

func appendEntry(b []byte, offset int64, kind uint32) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(offset))
	b = binary.LittleEndian.AppendUint32(b, kind)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseLedger returns the end of the settled part of a segment, the ends of the sealed batches behind it, and how many
// bytes of the ledger are good. It believes entries up to the first one that is torn, damaged or out of order.
func parseLedger(b []byte, size int64) (settled int64, seals []int64, good int) {
	settled = headerSize
	last := settled
	for ; len(b)-good >= entrySize; good += entrySize {
		e := b[good : good+entrySize]
		off := int64(binary.LittleEndian.Uint64(e))
		if crc32.Checksum(e[:12], castagnoli) != binary.LittleEndian.Uint32(e[12:]) {
			break
		}
		i := slices.Index(seals, off)
		switch kind := binary.LittleEndian.Uint32(e[8:]); {
		case kind == entrySealed && off > last && off <= size:
			seals, last = append(seals, off), off
		case kind == entrySettled && i >= 0: // not always 0: an earlier entry may have failed to be written
			seals, settled = seals[i+1:], off
		default:
			return settled, seals, good
		}
	}
	return settled, seals, good
}

// readRecords decodes whole frames from b, at most maxRecords and until maxBytes are passed. stop is where the next batch
// begins; damaged counts the bytes that were skipped between good frames. final says that b reaches the end of what was
// written, so that whatever no frame follows is lost.
func readRecords(b []byte, maxRecords, maxBytes int, final bool) (records []Record, stop, damaged int) {
	for len(records) < maxRecords && stop < maxBytes {
		start, end, ok := nextFrame(b, stop)
		if !ok {
			if final {
				return records, len(b), damaged + len(b) - stop
			}
			// A frame may begin in the last bytes and end behind them.
			next := max(stop, len(b)-maxFrame)
			return records, next, damaged + next - stop
		}
		r, err := parseRecord(b[start:end])
		if err != nil {
			start = end
		} else {
			records = append(records, r)
		}
		damaged += start - stop
		stop = end
	}
	return records, stop, damaged
}
