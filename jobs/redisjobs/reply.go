package redisjobs

import (
	"fmt"
	"strconv"
	"strings"
	"time"

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

// setMeta reads what is known of a job that failed or crashed, see
// lua/part_meta.lua.
func setMeta(s *driver.Stored, meta string) {
	parts := strings.SplitN(meta, " ", 3)
	if len(parts) != 3 {
		return
	}
	s.Attempts, _ = strconv.Atoi(parts[0]) // written by part_meta.lua as digits
	s.Crashes, _ = strconv.Atoi(parts[1])
	if len(parts[0]) < 2 || parts[0][0] != '0' { // of an earlier version, or for a worker
		s.Error = parts[2]
		if s.Error != "" {
			s.Failures = []driver.Failure{{Attempt: s.Attempts, Error: s.Error}}
		}
		return
	}
	failures, texts, _ := strings.Cut(parts[2], " ")
	s.Failures = readFailures(failures, texts)
	if len(s.Failures) > 0 {
		s.Error = s.Failures[0].Error
	}
}

// readFailures reads "<attempt>,<ms>,<took ms>,<bytes>;" for each, and their
// texts; what it does not understand ends it.
func readFailures(failures, texts string) []driver.Failure {
	var list []driver.Failure
	for one := range strings.SplitSeq(strings.TrimSuffix(failures, ";"), ";") {
		var n [4]int64
		fields := strings.Split(one, ",")
		if len(fields) != len(n) {
			return list
		}
		for i, field := range fields {
			v, err := strconv.ParseInt(field, 10, 64)
			if err != nil || v < 0 {
				return list
			}
			n[i] = v
		}
		if n[3] > int64(len(texts)) {
			return list
		}
		f := driver.Failure{Attempt: int(n[0]), Took: time.Duration(n[2]) * time.Millisecond, Error: texts[:n[3]]}
		if n[1] > 0 {
			f.At = time.UnixMilli(n[1]).UTC()
		}
		list, texts = append(list, f), texts[n[3]:]
	}
	return list
}
