package tenancy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"
)

// managed returns ErrManaged for a text that would begin or end the transaction behind the unit.
func managed(sql string) error {
	if !several(sql) {
		if endsUnit(sql) {
			return ErrManaged
		}
		return nil
	}
	for _, s := range sqlsplit.Split(sql) {
		if endsUnit(s.Text) {
			return ErrManaged
		}
	}
	return nil
}

// endsUnit looks at the first letter, which settles it for most statements.
func endsUnit(statement string) bool {
	word := sqlsplit.First(statement)
	if word == "" {
		return false
	}
	switch word[0] | 0x20 {
	case 'a', 'b', 'c', 'e', 'p', 'r', 's':
		return !strings.EqualFold(word, "select") && sqlsplit.Ends(sqlsplit.Words(statement, 3))
	}
	return false
}

// block tells whether a statement may commit by itself unless the transaction around it was begun in so many words.
func block(sql string) bool {
	word := sqlsplit.First(sql)
	return strings.EqualFold(word, "call") || strings.EqualFold(word, "do")
}

// endedError reports that a statement ended the transaction behind the unit, which only a look at the connection shows.
type endedError struct{}

func (endedError) Error() string {
	return "tenancy: a statement ended the transaction behind the unit of work, so what it did may be stored or lost; use DB.Do and its error"
}

// Unwrap returns what callers branch on.
func (endedError) Unwrap() []error { return []error{ErrManaged, ErrCommitUnknown} }

// ended looks whether the transaction has ended behind the unit. The caller holds use and knows that no answer is under way
// in which the transaction begins: then the connection does not know yet.
func (tx *Tx) ended() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.behind || !tx.answered || tx.session == nil || tx.rows != nil {
		return tx.behind
	}
	conn := tx.session.Conn()
	tx.behind = conn != nil && !conn.IsClosed() && conn.PgConn().TxStatus() == 'I'
	return tx.behind
}

// undone is how a unit ends that failed with err before COMMIT: rolled back, unless its transaction ended behind it.
func (tx *Tx) undone(err error) (outcome, error) {
	tx.use.Lock() // a statement that another goroutine has running ends first
	defer tx.use.Unlock()
	if !tx.ended() {
		return rolledBack, err
	}
	tx.at = maxLSN
	if err == nil || errors.Is(err, endedError{}) {
		return unknown, endedError{}
	}
	return unknown, fmt.Errorf("%w: %w", endedError{}, err)
}

// refuse returns ErrManaged for a text that is not to be sent, and spoils the savepoint or unit: what its program meant to
// undo must not be committed.
func (tx *Tx) refuse(sql string) error {
	err := managed(sql)
	if err != nil {
		tx.mu.Lock()
		depth := len(tx.scopes) - 1
		tx.mu.Unlock()
		tx.fail(err, depth)
	}
	return err
}
