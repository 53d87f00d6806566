package outbox

import (
	"fmt"
	"strconv"
	"strings"
)

// beginning is the snapshot before all transactions.
const beginning = "1:1:"

// position is where a reader stands. A tick is the set of events that became visible between two snapshots; its events are
// delivered in the order of their sequence, possibly in several batches.
type position struct {
	from string // snapshot; events visible in it are delivered
	upto string // end of the tick that is being delivered; empty means that the next one begins now
	seq  int64  // last event delivered of that tick
}

// String returns the text kept by the sink: a format version and the three fields. The snapshots are in PostgreSQL's own
// text form, xmin:xmax:xip_list.
func (p position) String() string {
	return "1|" + p.from + "|" + p.upto + "|" + strconv.FormatInt(p.seq, 10)
}

func parsePosition(s string) (position, error) {
	if s == "" {
		return position{from: beginning}, nil
	}
	parts := strings.Split(s, "|")
	if len(parts) != 4 || parts[0] != "1" || !isSnapshot(parts[1]) || parts[2] != "" && !isSnapshot(parts[2]) {
		return position{}, fmt.Errorf("outbox: position %.80q is not one of this version", s)
	}
	seq, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || seq < 0 {
		return position{}, fmt.Errorf("outbox: position %.80q has no valid sequence", s)
	}
	return position{from: parts[1], upto: parts[2], seq: seq}, nil
}

// isSnapshot checks the shape only; PostgreSQL checks the rest.
func isSnapshot(s string) bool {
	if strings.Count(s, ":") != 2 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != ':' && c != ',' {
			return false
		}
	}
	return true
}
