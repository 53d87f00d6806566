package analyticstest_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

type Invited struct{ Role string }

var invited = analytics.Define[Invited]("Invited")

// A store that is down does not fail the program: events wait.
func ExampleStore_SetDown() {
	store := analyticstest.NewStore()
	a, err := analytics.New(store, &analytics.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	store.SetDown(true)
	fmt.Println("track:", invited.Track(ctx, a, Invited{Role: "admin"}))
	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println("delivered:", a.Flush(soon) == nil, a.Stats().Backlog)
	store.SetDown(false)
	fmt.Println("delivered:", a.Flush(ctx) == nil, a.Stats().Backlog)
	// Output:
	// track: <nil>
	// delivered: false 1
	// delivered: true 0
}

// invite is the code under test of the next test.
func invite(ctx context.Context, a *analytics.Analytics, role string) error {
	return invited.Track(ctx, a, Invited{Role: role})
}

func TestTrackedReturnsWhatCodeUnderTestTracked(t *testing.T) {
	t.Parallel()
	a, store := analyticstest.New(t, nil)
	require.NoError(t, invite(t.Context(), a, "admin"))
	require.NoError(t, analytics.Define[struct{}]("Other").Track(t.Context(), a, struct{}{}))
	require.NoError(t, invite(t.Context(), a, "guest"))
	require.Equal(t, []Invited{{"admin"}, {"guest"}}, analyticstest.Tracked(t, a, store, invited))
}
