package outside

import (
	"context"
	"errors"
	"testing"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

type noteAdded struct{ Body string }

func (noteAdded) EventType() string { return "note.added" }

func TestNotesBelongToTheirTenant(t *testing.T) {
	kit := tenancytest.New(t)
	notes := tenancytest.NewTable[string, string](kit)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	err := kit.DB().Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Emit(noteAdded{Body: "hi"})
		return notes.Put(ctx, "n1", "hi")
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := notes.Get(globex, "n1"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("another tenant got %v", err)
	}
	if got := tenancytest.Emitted[noteAdded](kit); len(got) != 1 {
		t.Errorf("events: %v", got)
	}
}
