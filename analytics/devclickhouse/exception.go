package devclickhouse

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Error codes that the server raises itself or maps to an HTTP status
// (ClickHouse, src/Common/ErrorCodes.cpp).
const (
	codeUnknownTable       = 60
	codeSyntaxError        = 62
	codeUnknownDatabase    = 81
	codeUnknownCompression = 89
	codeBadRequest         = 36 // BAD_ARGUMENTS
	codeUnknownSetting     = 115
	codeTimeout            = 159
	codeTooManyQueries     = 202
	codeNetwork            = 210
	codeSessionNotFound    = 372
	codeSessionLocked      = 373
	codeCancelled          = 394
	codeUnknown            = 1002
)

// exception is an error of the engine in ClickHouse's own words:
// "Code: 60. DB::Exception: … (UNKNOWN_TABLE)".
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

// Without its anchor the pattern would find codes that the text quotes.
var exceptionCode = regexp.MustCompile(`^Code: (\d+)\.`)

// parseException makes an exception from the engine's text.
func parseException(text string) *exception {
	text = strings.TrimSpace(text)
	m := exceptionCode.FindStringSubmatch(text)
	if m == nil {
		return newException(codeUnknown, "UNKNOWN_EXCEPTION", "%s", text)
	}
	code, err := strconv.Atoi(m[1])
	if err != nil {
		code = codeUnknown
	}
	return &exception{code, text}
}

func newException(code int, name, format string, args ...any) *exception {
	return &exception{code, fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, args...), name)}
}

// status is the HTTP status that ClickHouse answers for an error code.
func (e *exception) status() int {
	switch e.code {
	case codeUnknownTable, codeUnknownDatabase, codeUnknownSetting, codeSessionNotFound, 46, 47, 50, 78, 83:
		return http.StatusNotFound
	case codeSyntaxError, codeUnknownCompression, codeBadRequest, 6, 27, 38, 41, 42, 43, 53, 70, 72, 117, 158, 164, 380, 386, 456, 457:
		return http.StatusBadRequest
	case codeTimeout:
		return http.StatusRequestTimeout
	case codeTooManyQueries:
		return http.StatusServiceUnavailable
	case 48:
		return http.StatusNotImplemented
	default:
		return http.StatusInternalServerError
	}
}
