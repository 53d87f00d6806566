package outside

import (
	"errors"
	"testing"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
)

func TestFreePlanHasALimit(t *testing.T) {
	catalog := billing.Catalog{
		Features: []billing.Feature{billing.Quota("projects")},
		Plans:    []billing.Plan{{ID: "free", Name: "Free", Grants: billing.Grants{"projects": 2}}},
		Default:  "free",
	}
	b, err := billing.New(catalog, billingtest.NewProvider(nil), billingtest.NewStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := b.Can(t.Context(), "projects", 2); !d.Allowed {
		t.Error(d.Err())
	}
	if d := b.Can(t.Context(), "projects", 3); !errors.Is(d.Err(), billing.ErrLimit) {
		t.Errorf("three projects: %v", d.Err())
	}
}
