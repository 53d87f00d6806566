package billing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
)

func TestNewValidatesTheCatalogue(t *testing.T) {
	t.Parallel()
	month := billing.Flat(100, "USD", billing.Monthly)
	plan := func(p billing.Plan) billing.Catalog {
		return billing.Catalog{Features: []billing.Feature{billing.Flag("sso"), billing.Quota("projects")}, Plans: []billing.Plan{p}}
	}
	for want, c := range map[string]billing.Catalog{
		"no plans":                   {},
		`plan "": an ID`:             plan(billing.Plan{}),
		`plan "Pro": an ID`:          plan(billing.Plan{ID: "Pro"}),
		`"pro" is declared twice`:    {Plans: []billing.Plan{{ID: "pro"}, {ID: "pro"}}},
		"TrialDays is -1":            plan(billing.Plan{ID: "pro", TrialDays: -1}),
		`grants "project", which`:    plan(billing.Plan{ID: "pro", Grants: billing.Grants{"project": 1}}),
		"limit -2 is below":          plan(billing.Plan{ID: "pro", Grants: billing.Grants{"projects": -2}}),
		"a flag is On or absent":     plan(billing.Plan{ID: "pro", Grants: billing.Grants{"sso": 1}}),
		"amount -1 is negative":      plan(billing.Plan{ID: "pro", Prices: []billing.Price{billing.Flat(-1, "USD", billing.Monthly)}}),
		`currency "usd"`:             plan(billing.Plan{ID: "pro", Prices: []billing.Price{billing.Flat(1, "usd", billing.Monthly)}}),
		`interval "week"`:            plan(billing.Plan{ID: "pro", Prices: []billing.Price{billing.Flat(1, "USD", "week")}}),
		"two prices per month in":    plan(billing.Plan{ID: "pro", Prices: []billing.Price{month, month}}),
		"Default names":              {Default: "free", Plans: []billing.Plan{{ID: "pro"}}},
		`feature "a b"`:              {Features: []billing.Feature{billing.Flag("a b")}, Plans: []billing.Plan{{ID: "pro"}}},
		`feature "a" is declared`:    {Features: []billing.Feature{billing.Flag("a"), billing.Quota("a")}, Plans: []billing.Plan{{ID: "pro"}}},
		`also used by plan "a_month`: {Plans: []billing.Plan{{ID: "a_month", Prices: []billing.Price{{Money: month.Money, Interval: billing.Monthly, Key: "b_month_usd"}}}, {ID: "b", Prices: []billing.Price{month}}}},
	} {
		_, err := billing.New(c, billingtest.NewProvider(nil), billingtest.NewStore(), nil)
		require.ErrorContains(t, err, want)
	}
	_, err := billing.New(billingtest.Plans(), nil, billingtest.NewStore(), nil)
	require.ErrorContains(t, err, "provider is nil")
	_, err = billing.New(billingtest.Plans(), billingtest.NewProvider(nil), nil, nil)
	require.ErrorContains(t, err, "store is nil")
}

func TestMoneyString(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]billing.Money{
		"29.00 USD":                 {Amount: 2900, Currency: "USD"},
		"0.05 EUR":                  {Amount: 5, Currency: "EUR"},
		"-0.05 EUR":                 {Amount: -5, Currency: "EUR"},
		"-12.34 USD":                {Amount: -1234, Currency: "USD"},
		"500 JPY":                   {Amount: 500, Currency: "JPY"},
		"1.234 KWD":                 {Amount: 1234, Currency: "KWD"},
		"-92233720368547758.08 USD": {Amount: -1 << 63, Currency: "USD"},
	} {
		require.Equal(t, want, m.String())
	}
}
