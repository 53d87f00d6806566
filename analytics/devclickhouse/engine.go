package devclickhouse

import (
	"fmt"
	"runtime"
	"unsafe"
)

// library is the part of libchdb's C interface (chdb.h of 26.7) that the
// server uses. Handles are opaque; every call may block its thread.
type library struct {
	setSignalHandlers func(enabled int32)
	connect           func(argc int32, argv **byte) *unsafe.Pointer
	closeConn         func(conn *unsafe.Pointer)
	classify          func(conn unsafe.Pointer, sql *byte, n uintptr, db *byte, dbn uintptr, out *analysis) int32

	query     func(conn unsafe.Pointer, sql *byte, n uintptr, format *byte, fn uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) unsafe.Pointer
	stream    func(conn unsafe.Pointer, sql *byte, n uintptr, format *byte, fn uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) unsafe.Pointer
	fetch     func(conn, stream unsafe.Pointer) unsafe.Pointer
	cancel    func(conn, stream unsafe.Pointer)
	destroy   func(result unsafe.Pointer)
	buffer    func(result unsafe.Pointer) *byte
	length    func(result unsafe.Pointer) uintptr
	errorText func(result unsafe.Pointer) string
	rowsRead  func(result unsafe.Pointer) uint64
	bytesRead func(result unsafe.Pointer) uint64
	rowsOut   func(result unsafe.Pointer) uint64
	bytesOut  func(result unsafe.Pointer) uint64

	insert        func(conn unsafe.Pointer, sql *byte, n uintptr, format *byte, fn uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) unsafe.Pointer
	insertError   func(stream unsafe.Pointer) string
	insertAppend  func(stream unsafe.Pointer, data *byte, n uintptr) int32
	insertDone    func(stream unsafe.Pointer) unsafe.Pointer
	insertCancel  func(stream unsafe.Pointer)
	insertDestroy func(stream unsafe.Pointer)
}

// analysis is chdb_query_analysis_v1.
type analysis struct {
	size, statements, _, class uint32
}

// classReadOnly is CHDB_QUERY_READ_ONLY: SELECT, SHOW, DESCRIBE, EXPLAIN.
const classReadOnly = 0

// conn is one session of the engine: settings, current database and temporary
// tables are its own. It runs one statement at a time.
type conn struct {
	lib    *library
	handle *unsafe.Pointer
}

// open makes a session. All sessions of a process share one directory; the
// first one starts the engine on it.
func (l *library) open(dir string) (*conn, error) {
	args := [][]byte{[]byte("devclickhouse\x00"), []byte("--path=" + dir + "\x00")}
	var pin runtime.Pinner
	defer pin.Unpin()
	argv := make([]*byte, len(args)+1)
	for i, a := range args {
		argv[i] = &a[0]
		pin.Pin(argv[i])
	}
	pin.Pin(&argv[0])
	h := l.connect(int32(len(args)), &argv[0])
	if h == nil || *h == nil {
		return nil, fmt.Errorf("devclickhouse: libchdb cannot open %s: is another process using it?", dir)
	}
	return &conn{l, h}, nil
}

func (c *conn) close() { c.lib.closeConn(c.handle) }

// classify parses sql. streamable says that it reads only, statements how many
// there are; 0 means that it does not parse.
func (c *conn) classify(sql string) (statements int, streamable bool) {
	a := analysis{size: uint32(unsafe.Sizeof(analysis{}))}
	if c.lib.classify(*c.handle, unsafe.StringData(sql), uintptr(len(sql)), nil, 0, &a) != 0 {
		return 0, false
	}
	return int(a.statements), a.class == classReadOnly
}

// summary counts what a statement read and wrote.
type summary struct{ rowsRead, bytesRead, rowsWritten, bytesWritten uint64 }

// arrays are the C form of the query parameters.
type arrays struct {
	names, values         []*byte
	nameLens, valueLens   []uintptr
	pin                   runtime.Pinner
	pNames, pValues       **byte
	pNameLens, pValueLens *uintptr
}

func newArrays(params []param) *arrays {
	a := &arrays{}
	if len(params) == 0 {
		return a
	}
	for _, p := range params {
		// An empty string has no bytes to point to.
		name, value := []byte(p.name+"\x00"), []byte(p.value+"\x00")
		a.pin.Pin(&name[0])
		a.pin.Pin(&value[0])
		a.names, a.nameLens = append(a.names, &name[0]), append(a.nameLens, uintptr(len(p.name)))
		a.values, a.valueLens = append(a.values, &value[0]), append(a.valueLens, uintptr(len(p.value)))
	}
	a.pNames, a.pValues, a.pNameLens, a.pValueLens = &a.names[0], &a.values[0], &a.nameLens[0], &a.valueLens[0]
	return a
}

// run executes a statement and returns its whole output.
func (c *conn) run(sql, format string, params []param) ([]byte, summary, error) {
	a := newArrays(params)
	defer a.pin.Unpin()
	r := c.lib.query(*c.handle, unsafe.StringData(sql), uintptr(len(sql)), unsafe.StringData(format), uintptr(len(format)),
		a.pNames, a.pNameLens, a.pValues, a.pValueLens, uintptr(len(params)))
	return c.take(r)
}

// take copies a result out of the engine and frees it.
func (c *conn) take(r unsafe.Pointer) ([]byte, summary, error) {
	if r == nil {
		return nil, summary{}, newException(codeUnknown, "UNKNOWN_EXCEPTION", "libchdb returned no result")
	}
	defer c.lib.destroy(r)
	if text := c.lib.errorText(r); text != "" {
		return nil, summary{}, parseException(text)
	}
	s := summary{c.lib.rowsRead(r), c.lib.bytesRead(r), c.lib.rowsOut(r), c.lib.bytesOut(r)}
	n := c.lib.length(r)
	if n == 0 {
		return nil, s, nil
	}
	b := make([]byte, n)
	copy(b, unsafe.Slice(c.lib.buffer(r), n))
	return b, s, nil
}

// selectStream executes a reading statement and hands each block to emit as it
// comes. emit must not keep the bytes.
func (c *conn) selectStream(sql, format string, params []param, emit func([]byte) error) error {
	a := newArrays(params)
	defer a.pin.Unpin()
	stream := c.lib.stream(*c.handle, unsafe.StringData(sql), uintptr(len(sql)), unsafe.StringData(format), uintptr(len(format)),
		a.pNames, a.pNameLens, a.pValues, a.pValueLens, uintptr(len(params)))
	if stream == nil {
		return newException(codeUnknown, "UNKNOWN_EXCEPTION", "libchdb returned no stream")
	}
	defer c.lib.destroy(stream)
	if text := c.lib.errorText(stream); text != "" {
		return parseException(text)
	}
	for {
		more, err := c.next(stream, emit)
		if err != nil || !more {
			return err
		}
	}
}

func (c *conn) next(stream unsafe.Pointer, emit func([]byte) error) (bool, error) {
	r := c.lib.fetch(*c.handle, stream)
	if r == nil {
		return false, nil
	}
	defer c.lib.destroy(r)
	if text := c.lib.errorText(r); text != "" {
		return false, parseException(text)
	}
	n := c.lib.length(r)
	if n == 0 {
		return false, nil
	}
	if err := emit(unsafe.Slice(c.lib.buffer(r), n)); err != nil {
		c.lib.cancel(*c.handle, stream)
		return false, err
	}
	return true, nil
}

// insertStream executes "INSERT INTO t (…)" with the data that next returns
// piece by piece until it returns nil. An error of next leaves no row behind.
func (c *conn) insertStream(sql, format string, params []param, next func() ([]byte, error)) (summary, error) {
	a := newArrays(params)
	defer a.pin.Unpin()
	s := c.lib.insert(*c.handle, unsafe.StringData(sql), uintptr(len(sql)), unsafe.StringData(format), uintptr(len(format)),
		a.pNames, a.pNameLens, a.pValues, a.pValueLens, uintptr(len(params)))
	defer c.lib.insertDestroy(s)
	if text := c.lib.insertError(s); text != "" {
		return summary{}, parseException(text)
	}
	for {
		b, err := next()
		if err != nil {
			c.lib.insertCancel(s)
			return summary{}, err
		}
		if len(b) == 0 {
			break
		}
		if c.lib.insertAppend(s, &b[0], uintptr(len(b))) != 0 {
			break // done reports why
		}
	}
	_, sum, err := c.take(c.lib.insertDone(s))
	return sum, err
}
