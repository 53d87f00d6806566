package notify_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
)

func TestErrorText(t *testing.T) {
	t.Parallel()
	cause := errors.New("status 503")
	e := &notify.Error{Op: "x: send", Kind: notify.ErrUnavailable, Retryable: true, Err: cause}
	require.EqualError(t, e, "x: send: provider unavailable: status 503")
	require.ErrorIs(t, e, notify.ErrUnavailable)
	require.ErrorIs(t, e, cause)
	require.EqualError(t, &notify.Error{Op: "x"}, "x")
	require.NotErrorIs(t, &notify.Error{Op: "x"}, notify.ErrRejected)
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	hopeless := &notify.Error{Op: "x", Kind: notify.ErrRejected}
	hopeful := &notify.Error{Op: "x", Kind: notify.ErrUnavailable, Retryable: true, Err: context.Canceled}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nil": {nil, false}, "hopeless": {hopeless, false}, "hopeful": {hopeful, true}, "foreign": {errors.New("queue down"), true},
		"wrapped hopeless": {fmt.Errorf("job: %w", hopeless), false}, "wrapped hopeful": {fmt.Errorf("job: %w", hopeful), true},
		"all hopeless": {errors.Join(hopeless, hopeless), false}, "one hopeful": {errors.Join(hopeless, hopeful), true},
		"nested join": {errors.Join(hopeless, fmt.Errorf("x: %w", errors.Join(hopeless, hopeful))), true},
	} {
		require.Equal(t, c.want, notify.Retryable(c.err), name)
	}
}
