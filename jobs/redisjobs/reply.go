package redisjobs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// reader walks the flat list a script answers, integers as text; the first
// surprise sticks.
type reader struct {
	op    string
	items []string
	err   error
}

func (r *reader) text() string {
	if len(r.items) == 0 {
		r.fail()
		return ""
	}
	item := r.items[0]
	r.items = r.items[1:]
	return item
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("redisjobs: %s: unexpected answer of the server", r.op)
	}
}

// texts reads the next n.
func (r *reader) texts(n int) []string {
	var list []string
	for ; n > 0 && r.err == nil; n-- {
		list = append(list, r.text())
	}
	return list
}

func (r *reader) int() int64 {
	n, err := strconv.ParseInt(r.text(), 10, 64)
	if err != nil {
		r.fail()
	}
	return n
}

// setMeta reads "<attempts> <crashes> <last error>".
func setMeta(s *driver.Stored, meta string) {
	if meta == "" {
		return
	}
	parts := strings.SplitN(meta, " ", 3)
	if len(parts) != 3 {
		return
	}
	s.Attempts, _ = strconv.Atoi(parts[0]) // written by part_meta.lua as digits
	s.Crashes, _ = strconv.Atoi(parts[1])
	s.Error = parts[2]
}
