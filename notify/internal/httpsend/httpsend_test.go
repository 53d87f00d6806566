package httpsend_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/internal/httpsend"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testRetryAfter) // on a clock that does not run away
}

func testRetryAfter(t *testing.T) {
	_, call := httpsend.Track(t.Context(), "x: send")
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	for header, want := range map[[2]string]time.Duration{
		{"Retry-After", "7"}: 7 * time.Second,
		{"Retry-After", in(time.Minute).UTC().Format(http.TimeFormat)}: time.Minute,
		{"Retry-After", "-1"}:            0,
		{"Retry-After", "9999999999999"}: 0,
		{"Retry-After", "864000"}:        0, // ten days: nobody means that
		{"Retry-After", "soon"}:          0,
		{"X-RateLimit-Reset", "12"}:      0, // 1970
		{"X-Other", "1"}:                 0,
	} {
		err := call.Refused(429, http.Header{http.CanonicalHeaderKey(header[0]): {header[1]}}, "", nil)
		var e *notify.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, want, e.RetryAfter, header)
	}
}

func TestFailedHidesTheURL(t *testing.T) {
	t.Parallel()
	_, call := httpsend.Track(t.Context(), "x: send", "secret-token")
	cause := errors.New("dial: secret-token refused")
	err := call.Failed(&url.Error{Op: "Post", URL: "https://user:secret-token@host/AC1", Err: cause})
	require.EqualError(t, err, "x: send: provider unavailable: dial: [redacted] refused")
	require.ErrorIs(t, err, cause)
	err = call.Failed(context.DeadlineExceeded)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
