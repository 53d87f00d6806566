package stripebilling_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
	"github.com/ashlar-go/ashlar/billing/stripebilling"
	"github.com/ashlar-go/ashlar/billing/stripetest"
)

// A program that sells through Stripe, against the fake Stripe: leave out URL, and it is the real one.
func Example() {
	fake, err := stripetest.NewServer(nil)
	if err != nil {
		panic(err)
	}
	defer fake.Close()
	fake.AddPrice(stripetest.Price{LookupKey: "pro_month_usd", Amount: 29_00, Currency: "USD", Interval: "month"})
	plans, store, key, secrets := billingtest.Plans(), billingtest.NewStore(), fake.Key(), fake.WebhookSecrets()
	mux, ctx := http.NewServeMux(), context.Background()

	provider, err := stripebilling.New(key, &stripebilling.Options{
		WebhookSecrets: secrets, ReturnURL: "https://app.example/billing", URL: fake.URL(),
	})
	if err != nil {
		panic(err)
	}
	b, err := billing.New(plans, provider, store, nil)
	if err != nil {
		panic(err)
	}
	mux.Handle("POST /webhooks/stripe", b.Webhook())
	session, err := b.Checkout(ctx, billing.CheckoutRequest{Plan: "pro"})
	if err != nil {
		panic(err)
	}

	fake.Connect(mux)
	if _, err := fake.Complete(session.ID); err != nil {
		panic(err)
	}
	fmt.Println(b.Can(ctx, "projects", 50).Allowed, b.Can(ctx, "projects", 51).Err())
	// Output: true billing: plan limit reached: "projects" on plan "pro", 0 of 50 used; plan "team" allows it
}
