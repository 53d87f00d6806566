package clickhouseanalytics

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/ashlar-go/ashlar/analytics"
)

// dataErrors are server errors that the content of a batch causes, by their code in ClickHouse's ErrorCodes.cpp. Errors
// that a wrong schema or configuration could cause as well are not among them: those are retried until an operator
// has mended it.
var dataErrors = map[int32]string{
	6:   "CANNOT_PARSE_TEXT",
	26:  "CANNOT_PARSE_QUOTED_STRING",
	27:  "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
	38:  "CANNOT_PARSE_DATE",
	41:  "CANNOT_PARSE_DATETIME",
	72:  "CANNOT_PARSE_NUMBER",
	117: "INCORRECT_DATA",
	131: "TOO_LARGE_STRING_SIZE",
	306: "TOO_DEEP_RECURSION",
	321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
	376: "CANNOT_PARSE_UUID",
}

// isData reports whether the content of a batch is at fault.
func isData(err error) bool {
	ex, ok := errors.AsType[*clickhouse.Exception](err)
	return ok && dataErrors[ex.Code] != ""
}

// driverError is an error of clickhouse-go without the values of events and queries, which its text may repeat.
type driverError struct {
	text string
	err  error
}

func (e *driverError) Error() string { return e.text }

func (e *driverError) Unwrap() error { return e.err }

// wrap adds what was done to an error of clickhouse-go.
func wrap(err error, format string, args ...any) error {
	text := err.Error()
	if isData(err) { // the server quotes what it could not read
		ex, _ := errors.AsType[*clickhouse.Exception](err)
		text = fmt.Sprintf("code %d (%s)", ex.Code, dataErrors[ex.Code])
	} else if failed, ok := errors.AsType[*url.Error](err); ok { // parameters of the query are in the URL
		if _, query, found := strings.Cut(failed.URL, "?"); found {
			text = strings.ReplaceAll(text, "?"+query, "")
		}
	}
	return fmt.Errorf("clickhouseanalytics: %s: %w", fmt.Sprintf(format, args...), &driverError{text: text, err: err})
}

// wrapInsert is wrap for an insert, where an error of the data is analytics.ErrRejected too.
func wrapInsert(err error, n int) error {
	wrapped := wrap(err, "insert %d events", n)
	if isData(err) {
		return fmt.Errorf("%w: %w", analytics.ErrRejected, wrapped)
	}
	return wrapped
}
