package sqlexpr

import "fmt"

// Error is what goes wrong, with the SQLSTATE that PostgreSQL would answer; 0A000 stands for text that this package does
// not understand.
type Error struct{ Code, Message string }

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func notUnderstood(format string, args ...any) error {
	return &Error{"0A000", "not understood by the in-memory kit; run this test on PostgreSQL: " + fmt.Sprintf(format, args...)}
}

func fault(code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}
