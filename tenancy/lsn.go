package tenancy

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// LSN is a position in PostgreSQL's log: a token for reading one's own writes on a replica. A unit stores the position of
// its commit in TxOptions.CommitLSN; whoever reads later, in another request too, gives it back in TxOptions.After.
// The zero value asks for nothing. It holds no secret, but a client that makes one up can send its reads to the primary.
type LSN uint64

// maxLSN is after everything, so reads go to the primary. It stands for a position that nobody knows.
const maxLSN LSN = math.MaxUint64

// String returns the form that PostgreSQL and ParseLSN read, e.g. "16/B374D848".
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// ParseLSN reads what String wrote. The empty text is the zero value.
func ParseLSN(text string) (LSN, error) {
	if text == "" {
		return 0, nil
	}
	high, low, found := strings.Cut(text, "/")
	h, err1 := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if !found || err1 != nil || err2 != nil {
		return 0, errors.New("tenancy: malformed LSN; want what LSN.String returned")
	}
	return LSN(h<<32 | l), nil
}

func (o TxOptions) setLSN(at LSN) {
	if o.CommitLSN != nil {
		*o.CommitLSN = at
	}
}

// tell adds to those who want to know the position of the unit's commit; nil is nobody.
func (tx *Tx) tell(at *LSN) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if at != nil {
		tx.askers = append(tx.askers, at)
	}
}

// asked is where the driver puts the position of the commit, nil if nobody asked. A replica commits nothing.
func (tx *Tx) asked() *LSN {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if len(tx.askers) == 0 || tx.target.Replica {
		return nil
	}
	return &tx.at
}

// lsnOf is where the position of a commit goes. A replica commits nothing.
func (o TxOptions) lsnOf(t Target) *LSN {
	if t.Replica {
		return nil
	}
	return o.CommitLSN
}
