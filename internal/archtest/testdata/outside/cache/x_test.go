package outside

import (
	"context"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

func TestInvalidateLoadsAgain(t *testing.T) {
	hub, err := cache.New(cachetest.New(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	users := cache.Define[int, string](hub, "users", &cache.Policy{TTL: time.Minute})
	loads := 0
	load := func(context.Context, int) (string, error) {
		loads++
		return "Ann", nil
	}
	for range 3 {
		if _, err := users.Fetch(t.Context(), 1, load); err != nil {
			t.Fatal(err)
		}
	}
	if err := users.Invalidate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := users.Fetch(t.Context(), 1, load); err != nil {
		t.Fatal(err)
	}
	if loads != 2 {
		t.Errorf("%d loads, want 2", loads)
	}
}
