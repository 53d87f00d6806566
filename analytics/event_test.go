package analytics_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

type level string

// everything has a field of each supported type.
type everything struct {
	When    time.Time `event:",time"`
	Who     string    `event:",user"`
	UserID  string
	Level   level `event:"severity"`
	HTTPOK  bool
	Small   int8
	Count   uint32
	Ratio   float32
	Price   float64
	Due     time.Time
	Took    time.Duration
	Secret  string `event:"-"`
	private string
}

var everythingHappened = analytics.Define[everything]("Everything Happened")

func sample() everything {
	return everything{
		When: time.Date(2026, 1, 2, 3, 4, 5, 678_999_999, time.FixedZone("", 3600)), Who: "ann",
		UserID: "u\"1\n\u2028\x7f", Level: "high", HTTPOK: true, Small: -5, Count: 7, Ratio: 0.5, Price: 99,
		Due: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 1500 * time.Millisecond, Secret: "hidden", private: "hidden",
	}
}

func TestTrackStampsAndEncodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, store := analyticstest.New(t, nil)
		ctx := analytics.WithUser(t.Context(), "bob")
		require.NoError(t, everythingHappened.Track(ctx, a, sample()))
		require.NoError(t, SignedUp.Track(ctx, a, SignUp{Plan: "bad \xff utf-8"}))
		require.NoError(t, a.Flush(ctx))

		got := store.Records()
		require.Len(t, got, 2)
		require.Equal(t, "Everything Happened", got[0].Name)
		require.Equal(t, "ann", got[0].User, "the event's own user wins")
		require.Equal(t, time.Date(2026, 1, 2, 2, 4, 5, 678e6, time.UTC), got[0].Time)
		require.Equal(t, `{"user_id":"u\"1\u000a`+"\u2028"+`\u007f","severity":"high","httpok":true,"small":-5,"count":7,`+
			`"ratio":0.5,"price":99.0,"due":"2026-01-02T03:04:05.000Z","took":1.5}`, string(got[0].Props))

		require.Equal(t, "bob", got[1].User)
		require.Equal(t, time.Now().UTC(), got[1].Time)
		require.Equal(t, `{"plan":"bad `+"\ufffd"+` utf-8","seats":0}`, string(got[1].Props))
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, got[1].ID)
		require.NotEqual(t, got[0].ID, got[1].ID)
	})
}

func TestDecodeReturnsWhatWasTracked(t *testing.T) {
	t.Parallel()
	a, store := analyticstest.New(t, nil)
	require.NoError(t, everythingHappened.Track(t.Context(), a, sample()))
	got := analyticstest.Tracked(t, a, store, everythingHappened)
	want := sample()
	want.When, want.Secret, want.private = want.When.UTC().Truncate(time.Millisecond), "", ""
	require.Equal(t, []everything{want}, got)

	_, err := SignedUp.Decode(store.Records()[0])
	require.ErrorIs(t, err, analytics.ErrInvalid, "another event")
	for _, props := range []string{`[]`, `{"small":300}`, `{"small":1.5}`, `{"httpok":"yes"}`, `{"count":-1}`, `{"took":"1s"}`} {
		_, err := everythingHappened.Decode(analytics.Record{Name: "Everything Happened", Props: json.RawMessage(props)})
		require.ErrorIs(t, err, analytics.ErrInvalid, props)
	}
}

func TestDefinePanicsOnMisuse(t *testing.T) {
	t.Parallel()
	type embedded struct{ SignUp }
	for why, define := range map[string]func(){
		"is not a struct": func() { analytics.Define[int]("x") },
		"name must be":    func() { analytics.Define[SignUp]("") },
		"printable":       func() { analytics.Define[SignUp]("tab\t") },
		"embedded":        func() { analytics.Define[embedded]("x") },
		"unknown tag option": func() {
			analytics.Define[struct {
				A int `event:"a,bold"`
			}]("x")
		},
		"must match": func() {
			analytics.Define[struct {
				A int `event:"Bad Name"`
			}]("x")
		},
		"exists already": func() {
			analytics.Define[struct {
				A, B int `event:"same"`
			}]("x")
		},
		"type map":  func() { analytics.Define[struct{ A map[string]int }]("x") },
		"type *int": func() { analytics.Define[struct{ A *int }]("x") },
		"must be a time.Time": func() {
			analytics.Define[struct {
				A int `event:",time"`
			}]("x")
		},
		"a user field a string": func() {
			analytics.Define[struct {
				A int `event:",user"`
			}]("x")
		},
		"another field": func() {
			analytics.Define[struct {
				A, B string `event:",user"`
			}]("x")
		},
		"leave the name empty": func() {
			analytics.Define[struct {
				A string `event:"a,user"`
			}]("x")
		},
		"not exported": func() {
			analytics.Define[struct {
				a string `event:"a"`
			}]("x")
		},
	} {
		func() {
			defer func() {
				got, _ := recover().(string)
				require.Contains(t, got, why)
			}()
			define()
		}()
	}
}

func TestTrackRefusesWhatCanNeverBeStored(t *testing.T) {
	t.Parallel()
	a, store := analyticstest.New(t, nil)
	type numbers struct {
		At time.Time `event:",time"`
		U  uint64
		F  float64
		S  string
	}
	e := analytics.Define[numbers]("Numbers")
	for _, n := range []numbers{
		{U: math.MaxInt64 + 1},
		{F: math.NaN()},
		{F: math.Inf(-1)},
		{S: strings.Repeat("x", 64<<10)},
		{At: time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC)},
		{At: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		require.ErrorIs(t, e.Track(t.Context(), a, n), analytics.ErrInvalid)
	}
	require.ErrorIs(t, e.Track(analytics.WithUser(t.Context(), strings.Repeat("u", 257)), a, numbers{}), analytics.ErrInvalid)
	require.ErrorIs(t, analytics.Event[numbers]{}.Track(t.Context(), a, numbers{}), analytics.ErrInvalid)
	require.NoError(t, e.Track(t.Context(), a, numbers{U: math.MaxInt64, F: -math.MaxFloat64, S: strings.Repeat("x", 63<<10)}))
	require.NoError(t, a.Flush(t.Context()))
	require.Len(t, store.Records(), 1)
}

// untouchable is a store that no call may reach.
type untouchable struct{ t *testing.T }

func (u untouchable) Insert(context.Context, analytics.Batch) error {
	u.t.Error("Insert was called")
	return nil
}

func (u untouchable) Query(context.Context, analytics.Query) ([]analytics.Row, error) {
	u.t.Error("Query was called")
	return nil, nil
}

func TestWithoutTenantNothingHappens(t *testing.T) {
	t.Parallel()
	answers := map[string]bool{"": true, "acme": false}
	for id, ok := range answers {
		a, err := analytics.New(untouchable{t}, &analytics.Options{Dir: t.TempDir(), Tenant: func(context.Context) (string, bool) { return id, ok }})
		require.NoError(t, err)
		require.ErrorIs(t, SignedUp.Track(t.Context(), a, SignUp{}), analytics.ErrNoTenant)
		_, err = a.Series(t.Context(), SignedUp.Count(), analytics.Last(time.Hour), nil)
		require.ErrorIs(t, err, analytics.ErrNoTenant)
		_, err = a.Value(t.Context(), SignedUp.Count(), analytics.Last(time.Hour), nil)
		require.ErrorIs(t, err, analytics.ErrNoTenant)
		require.Zero(t, a.Stats().Tracked)
		require.NoError(t, a.Flush(t.Context()))
		require.NoError(t, a.Close())
	}
}

func FuzzTrackedTextIsJSON(f *testing.F) {
	for _, s := range []string{"", "plain", "quote\" slash\\ nul\x00 del\x7f", "\u2028\u2029", "bad\xff\xc3", "\U0001F600", "</script>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 10_000 {
			return
		}
		a, store := analyticstest.New(t, nil)
		require.NoError(t, SignedUp.Track(t.Context(), a, SignUp{Plan: s}))
		require.NoError(t, a.Flush(t.Context()))
		var got struct{ Plan string }
		require.NoError(t, json.Unmarshal(store.Records()[0].Props, &got))
		require.Equal(t, string([]rune(s)), got.Plan) // each bad byte becomes U+FFFD
	})
}
