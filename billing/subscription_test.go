package billing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
)

// The whole machine: a row is what was seen, an x what may be seen next.
func TestStateMachine(t *testing.T) {
	t.Parallel()
	states := []billing.State{
		billing.StateIncomplete, billing.StateExpired, billing.StateTrialing, billing.StateActive,
		billing.StatePastDue, billing.StateUnpaid, billing.StatePaused, billing.StateCanceled,
	}
	for from, row := range map[billing.State]string{
		"":                      "xxxxxxxx",
		billing.StateIncomplete: "xxxxxxxx",
		billing.StateExpired:    ".x......",
		billing.StateTrialing:   "..xxxxxx",
		billing.StateActive:     "..xxxxxx",
		billing.StatePastDue:    "..xxxxxx",
		billing.StateUnpaid:     "..xxxxxx",
		billing.StatePaused:     "..xxxxxx",
		billing.StateCanceled:   ".......x",
	} {
		for i, to := range states {
			require.Equal(t, row[i] == 'x', from.CanBecome(to), "%q to %q", from, to)
		}
		require.False(t, from.CanBecome("paid"), "%q to an invalid state", from)
		require.False(t, from.CanBecome(""), "%q to nothing", from)
		require.Equal(t, from != "", from.Valid())
		if from.Entitled() {
			require.False(t, from.Ended())
		}
	}
}
