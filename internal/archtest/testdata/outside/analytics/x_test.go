package outside

import (
	"testing"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

type signUp struct{ Plan string }

func TestSignUpIsTracked(t *testing.T) {
	signedUp := analytics.Define[signUp]("Signed Up")
	a, store := analyticstest.New(t, nil)
	if err := signedUp.Track(t.Context(), a, signUp{Plan: "pro"}); err != nil {
		t.Fatal(err)
	}
	if got := analyticstest.Tracked(t, a, store, signedUp); len(got) != 1 || got[0].Plan != "pro" {
		t.Errorf("tracked %v", got)
	}
}
