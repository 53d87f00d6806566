package outbox

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// position is where a reader stands. A tick is the set of events that became visible between two snapshots; its events are
// delivered in the order of their sequence, possibly in several batches.
//
// Each position names the log that it belongs to, in two ways: by the id of the log, whose transaction ids it is made of,
// and by its anchor, the delivered event with the highest transaction id. Where the anchor is, no transaction
// id that the position counts as done can be given to another transaction, not even after a crash or on a promoted
// replica: the anchor's commit is on disk there, and ids are given out in order.
type position struct {
	log    string   // id of the log; empty in format 1
	sink   string   // UUID that the first relay gave to the sink; empty in format 1
	from   snapshot // events visible in it are delivered
	upto   snapshot // end of the tick that is being delivered; empty means that the next one begins now
	seq    int64    // last event delivered of that tick
	floor  int64    // all events up to this sequence are delivered, whatever their transaction ids say; see Rebase
	anchor anchor
	seen   int64 // PostgreSQL's clock when the newest snapshot was taken, microseconds since 1970; events delivered are older

	// In the middle of a Rebase alone: besides, the events up to a sequence are delivered that are older than a time.
	moved   int64
	movedAt int64 // microseconds since 1970
}

// anchor is the delivered event with the highest transaction id or, after Rebase, with the highest sequence, which is the
// floor: where it is, no sequence up to it is given out again.
type anchor struct {
	xid uint64 // zero means none
	id  string
	at  int64 // microseconds since 1970
}

// in returns ErrLogChanged if the position is no place in a log, by its id and by whether it has the anchor; see outbox_tick.
func (p position) in(log string, known bool) error {
	switch {
	case p.moved > 0:
		return logChanged("a Rebase of the sink has stopped half-way; call it again")
	case p.log != "" && p.log != log:
		return logChanged("position of %s, database is %s", p.log, log)
	case !known && p.anchor.id != "":
		return logChanged("event %s, which the sink has, is not there; or the sink was set back by more than events are kept", p.anchor.id)
	case !known:
		return logChanged("the outbox has events of another database")
	}
	return nil
}

// until is upto as a statement takes it: nil if it is empty.
func (p position) until() *string {
	if p.upto == "" {
		return nil
	}
	text := string(p.upto)
	return &text
}

// beginning is the snapshot before all transactions.
const beginning = snapshot("1:1:")

// String returns the text kept by the sink.
func (p position) String() string {
	fields := []string{
		"2", p.log, p.sink, string(p.from), string(p.upto), strconv.FormatInt(p.seq, 10), strconv.FormatInt(p.floor, 10),
		strconv.FormatUint(p.anchor.xid, 10), p.anchor.id, strconv.FormatInt(p.anchor.at, 10), strconv.FormatInt(p.seen, 10),
	}
	if p.moved > 0 {
		fields = append(fields, strconv.FormatInt(p.moved, 10), strconv.FormatInt(p.movedAt, 10))
	}
	return strings.Join(fields, "|")
}

// parsePosition reads formats 1 (log, sink, floor, anchor and time are missing) and 2. The empty text is the beginning.
func parsePosition(s string) (position, error) {
	fields := strings.Split(s, "|")
	p, err := position{}, error(nil)
	switch {
	case s == "":
		return position{from: beginning}, nil
	case fields[0] == "1" && len(fields) == 4:
		p.from, p.upto = snapshot(fields[1]), snapshot(fields[2])
		p.seq, err = strconv.ParseInt(fields[3], 10, 64)
	case fields[0] == "2" && (len(fields) == 11 || len(fields) == 13):
		p, err = parseFields(fields[1:])
	default:
		return position{}, fmt.Errorf("outbox: position %.80q is not one of this version", s)
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return position{}, fmt.Errorf("outbox: position %.80q: %w", s, err)
	}
	return p, nil
}

func parseFields(f []string) (position, error) {
	p := position{log: f[0], sink: f[1], from: snapshot(f[2]), upto: snapshot(f[3]), anchor: anchor{id: f[7]}}
	var errs [7]error
	p.seq, errs[0] = strconv.ParseInt(f[4], 10, 64)
	p.floor, errs[1] = strconv.ParseInt(f[5], 10, 64)
	p.anchor.xid, errs[2] = strconv.ParseUint(f[6], 10, 63)
	p.anchor.at, errs[3] = strconv.ParseInt(f[8], 10, 64)
	p.seen, errs[4] = strconv.ParseInt(f[9], 10, 64)
	if len(f) > 10 {
		p.moved, errs[5] = strconv.ParseInt(f[10], 10, 64)
		p.movedAt, errs[6] = strconv.ParseInt(f[11], 10, 64)
		if p.moved <= 0 {
			errs[6] = errors.New("a sequence is not positive")
		}
	}
	return p, errors.Join(errs[:]...)
}

func (p position) check() error {
	_, fromErr := p.from.parse()
	var uptoErr error
	if p.upto != "" {
		_, uptoErr = p.upto.parse()
	}
	switch {
	case fromErr != nil || uptoErr != nil:
		return errors.Join(fromErr, uptoErr)
	case p.seq < 0 || p.floor < 0:
		return errors.New("a sequence is negative")
	case (p.anchor.xid == 0) != (p.anchor.id == "") || p.anchor.id != "" && !isUUID(p.anchor.id) || p.sink != "" && !isUUID(p.sink):
		return errors.New("an id is not valid")
	}
	return nil
}

// isUUID checks the shape that PostgreSQL prints.
func isUUID(s string) bool {
	return len(s) == 36 && strings.Count(s, "-") == 4 && strings.Trim(s, "0123456789abcdef-") == ""
}

// snapshot is one of PostgreSQL, in its own text form: xmin:xmax:xip,…
type snapshot string

// xids are the parts of a snapshot: all transactions before min, and all before max that are not in open, have ended.
type xids struct {
	min, max uint64
	open     []uint64
}

func (s snapshot) parse() (x xids, err error) {
	parts := strings.Split(string(s), ":")
	if len(parts) != 3 {
		return xids{}, errors.New("a snapshot is not valid")
	}
	if x.min, err = strconv.ParseUint(parts[0], 10, 63); err == nil {
		x.max, err = strconv.ParseUint(parts[1], 10, 63)
	}
	for part := range strings.SplitSeq(parts[2], ",") {
		if parts[2] == "" || err != nil {
			break
		}
		var id uint64
		id, err = strconv.ParseUint(part, 10, 63)
		x.open = append(x.open, id)
	}
	if err != nil || x.min == 0 || x.min > x.max || !slices.IsSorted(x.open) || len(x.open) > 0 && (x.open[0] < x.min || x.open[len(x.open)-1] >= x.max) {
		return xids{}, errors.New("a snapshot is not valid")
	}
	return x, nil
}

// before returns the snapshot in which no transaction from max on has ended. What the reader stores must not speak of
// transactions without events: one that was rolled back leaves nothing on disk, and after a crash its id is given out again.
func (s snapshot) before(max uint64) (snapshot, error) {
	x, err := s.parse()
	if err != nil || x.max <= max {
		return s, err
	}
	x.max = max
	x.open = slices.DeleteFunc(x.open, func(id uint64) bool { return id >= max })
	x.min = max
	if len(x.open) > 0 {
		x.min = x.open[0]
	}
	open := make([]string, len(x.open))
	for i, id := range x.open {
		open[i] = strconv.FormatUint(id, 10)
	}
	return snapshot(fmt.Sprintf("%d:%d:%s", x.min, x.max, strings.Join(open, ","))), nil
}
