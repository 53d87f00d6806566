package tenancy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// maxEventBody bounds one event. Events say what happened; large data belongs in a table, its key in the event.
const maxEventBody = 1 << 20

// Event is something that happened in a unit of work and that others shall hear of if, and only if, the unit commits.
// The value is encoded as JSON when it is emitted, so it may be changed afterwards.
//
// An event may have a second method, EventKey() string. Events with the same key reach every sink in commit order,
// provided that their units exclude each other, e.g. by locking the row that the key names.
type Event interface {
	// EventType names the kind of event, e.g. "note.added". It must not be empty.
	EventType() string
}

// Emit writes events into the outbox together with COMMIT, so they cost no round trip and exist only if the unit commits.
// An event that cannot be encoded, has no type or is larger than 1 MiB rolls the unit back; Do returns that error. Once the
// unit ends it does nothing; the function Emit says so.
func (tx *Tx) Emit(events ...Event) {
	for _, e := range events {
		key := ""
		if k, ok := e.(interface{ EventKey() string }); ok {
			key = k.EventKey()
		}
		body, err := json.Marshal(e)
		if err != nil {
			err = fmt.Errorf("tenancy: encode event %q: %w", e.EventType(), err)
		}
		_ = tx.emit(e.EventType(), key, body, err) // kept in the scope
	}
}

// Emit is the untyped form of Tx.Emit, for the unit of ctx. Its shape is the event seam of all blocks.
// It returns ErrNoUnit outside of a unit, ErrTxDone once it ends, and an error for an event that cannot be stored, which
// also rolls the unit back. The body is copied.
func Emit(ctx context.Context, typ, key string, body []byte) error {
	tx, ok := TxFrom(ctx)
	if !ok {
		return ErrNoUnit
	}
	if conflicts(ctx, tx.who) {
		return ErrTenantMismatch
	}
	return tx.emit(typ, key, append([]byte{}, body...), nil)
}

func (tx *Tx) emit(typ, key string, body []byte, err error) error {
	switch {
	case err != nil:
	case typ == "":
		err = errors.New("tenancy: event without a type")
	case hasNUL(typ) || hasNUL(key) || !utf8.ValidString(typ) || !utf8.ValidString(key):
		err = fmt.Errorf("tenancy: type or key of event %q is not valid UTF-8 without NUL", typ)
	case len(typ) > maxID || len(key) > maxID:
		err = fmt.Errorf("tenancy: type or key of event %.40q is longer than %d bytes", typ, maxID)
	case len(body) > maxEventBody:
		err = fmt.Errorf("tenancy: event %q has %d bytes, the limit is %d", typ, len(body), maxEventBody)
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.over() {
		return ErrTxDone
	}
	s := tx.top()
	if err != nil {
		if s.err == nil {
			s.err = err
		}
		return err
	}
	s.events = append(s.events, Message{ID: newID(time.Now()), Type: typ, Key: key, Body: body})
	return nil
}

// newID returns a UUID of version 7 (RFC 9562): milliseconds first, so that ids of one time lie together in an index.
func newID(now time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[6:]) // never fails
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16|uint64(b[6])<<8|uint64(b[7]))
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
