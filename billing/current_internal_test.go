package billing

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The choice does not depend on the order in which a store lists them.
func TestCurrent(t *testing.T) {
	t.Parallel()
	at := func(id string, hour int, s State) Subscription {
		return Subscription{ID: id, State: s, Created: time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC)}
	}
	for _, c := range []struct {
		want string
		subs []Subscription
	}{
		{"", nil},
		{"live", []Subscription{at("ended", 9, StateCanceled), at("live", 1, StateActive)}},
		{"live", []Subscription{at("owed", 9, StateUnpaid), at("live", 1, StatePastDue)}},
		{"owed", []Subscription{at("begun", 9, StateIncomplete), at("owed", 1, StatePaused)}},
		{"begun", []Subscription{at("ended", 9, StateExpired), at("begun", 1, StateIncomplete)}},
		{"newer", []Subscription{at("older", 1, StateActive), at("newer", 2, StateTrialing)}},
		{"newer", []Subscription{at("older", 1, StateCanceled), at("newer", 2, StateExpired)}},
	} {
		require.Equal(t, c.want, current(c.subs).ID)
		if len(c.subs) == 2 {
			require.Equal(t, c.want, current([]Subscription{c.subs[1], c.subs[0]}).ID)
		}
	}
}
