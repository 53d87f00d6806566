package billing_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
)

var plans = billing.Catalog{
	Default:  "free",
	Features: []billing.Feature{billing.Flag("sso"), billing.Quota("projects")},
	Plans: []billing.Plan{
		{ID: "free", Grants: billing.Grants{"projects": 3}},
		{
			ID: "pro", TrialDays: 14,
			Prices: []billing.Price{billing.Flat(29_00, "USD", billing.Monthly), billing.Flat(290_00, "USD", billing.Yearly)},
			Grants: billing.Grants{"projects": billing.Unlimited, "sso": billing.On},
		},
	},
}

// The whole of billing, on the bundled fakes: a free tenant meets its limit, buys a plan, and may go on.
func Example() {
	provider := billingtest.NewProvider(&billingtest.ProviderOptions{ReturnURL: "https://app.example/billing"})
	store := billingtest.NewStore()
	ctx := context.Background()

	b, err := billing.New(plans, provider, store, nil)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks", b.Webhook())
	provider.Connect(mux)

	createProject := func() error {
		if d := b.Can(ctx, "projects", 4); !d.Allowed {
			return d.Err()
		}
		return nil
	}
	fmt.Println(createProject())

	session, err := b.Checkout(ctx, billing.CheckoutRequest{Plan: "pro"})
	if err != nil {
		panic(err)
	}
	if _, err := provider.Complete(session.ID); err != nil { // the buyer pays; webhooks arrive
		panic(err)
	}
	sub, err := b.Subscription(ctx)
	fmt.Println(sub.Plan, sub.State, err)
	fmt.Println(createProject())
	// Output:
	// billing: plan limit reached: "projects" on plan "free", 0 of 3 used; plan "pro" allows it
	// pro trialing <nil>
	// <nil>
}

// With a tenant from the context and a count of what is in use, Can needs nothing but "one more".
func ExampleNew() {
	type tenant struct{}
	projects := map[string]int64{"acme": 3, "globex": 1}
	b, err := billing.New(plans, billingtest.NewProvider(nil), billingtest.NewStore(), &billing.Options{
		Tenant: func(ctx context.Context) (string, bool) {
			id, ok := ctx.Value(tenant{}).(string)
			return id, ok
		},
		Usage: func(ctx context.Context, feature string) (int64, error) {
			return projects[ctx.Value(tenant{}).(string)], nil
		},
	})
	if err != nil {
		panic(err)
	}
	for _, id := range []string{"acme", "globex"} {
		ctx := context.WithValue(context.Background(), tenant{}, id)
		fmt.Println(id, b.Can(ctx, "projects", 1).Allowed)
	}
	fmt.Println(b.Can(context.Background(), "projects", 1).Err())
	// Output:
	// acme false
	// globex true
	// billing: no tenant in context: "projects"
}

// A denial knows the HTTP status that fits: 402 where paying helps, 403 where it does not.
func ExampleDeniedError() {
	b, err := billing.New(plans, billingtest.NewProvider(nil), billingtest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	err = b.Can(context.Background(), "sso", 1).Err()
	if denied, ok := errors.AsType[*billing.DeniedError](err); ok {
		fmt.Println(denied.HTTPStatus(), errors.Is(err, billing.ErrNotIncluded), denied.Decision.Upgrade)
	}
	// Output: 402 true pro
}

func ExampleBilling_Portal() {
	provider := billingtest.NewProvider(nil)
	b, err := billing.New(plans, provider, billingtest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	_, err = b.Portal(ctx, billing.PortalRequest{ReturnURL: "https://app.example/"})
	fmt.Println(errors.Is(err, billing.ErrNotFound)) // nobody who never bought has something to manage
	_, err = b.Checkout(ctx, billing.CheckoutRequest{Plan: "pro", Interval: billing.Yearly, SuccessURL: "https://app.example/ok"})
	fmt.Println(err)
	session, err := b.Portal(ctx, billing.PortalRequest{ReturnURL: "https://app.example/"})
	fmt.Println(session.URL != "", err)
	// Output:
	// true
	// <nil>
	// true <nil>
}

func ExampleMoney_String() {
	fmt.Println(billing.Money{Amount: 29_00, Currency: "USD"}, billing.Money{Amount: 500, Currency: "JPY"})
	// Output: 29.00 USD 500 JPY
}
