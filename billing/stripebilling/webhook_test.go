package stripebilling_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
	"github.com/ashlar-go/ashlar/billing/stripebilling"
	"github.com/ashlar-go/ashlar/billing/stripetest"
)

const eventBody = `{"id":"evt_1","type":"customer.subscription.updated","created":1700000000,"livemode":false,` +
	`"data":{"object":{"id":"sub_1","object":"subscription"}}}`

// newProvider has no server: webhooks need none.
func newProvider(t testing.TB, opts *stripebilling.Options) *stripebilling.Provider {
	t.Helper()
	p, err := stripebilling.New("sk_test_x", opts)
	require.NoError(t, err)
	return p
}

// signed is a header made by the SDK's signer, not by ours.
func signed(secret string, at time.Time, body string) http.Header {
	sum := webhook.ComputeSignature(at, []byte(body), secret)
	return http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%x", at.Unix(), sum)}}
}

func TestSecretRotation(t *testing.T) {
	t.Parallel()
	const old, next, stranger = "whsec_old", "whsec_next", "whsec_stranger"
	for _, c := range []struct {
		name    string
		ours    []string
		theirs  []string
		refused bool
	}{
		{"before", []string{old}, []string{old}, false},
		{"Stripe signs with both, we know the old", []string{old}, []string{next, old}, false},
		{"Stripe signs with both, we know both", []string{old, next}, []string{old, next}, false},
		{"Stripe signs with the new, we know both", []string{old, next}, []string{next}, false},
		{"after", []string{next}, []string{next}, false},
		{"the old one is gone", []string{next}, []string{old}, true},
		{"a stranger", []string{old, next}, []string{stranger}, true},
		{"no secret configured", nil, []string{old}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := stripetest.New(t, nil)
			s.SetWebhookSecrets(c.theirs...)
			d := s.Sign(time.Now(), []byte(eventBody))
			_, err := newProvider(t, &stripebilling.Options{WebhookSecrets: c.ours}).Event(d.Header, d.Body)
			if c.refused {
				require.ErrorIs(t, err, billing.ErrSignature)
				for _, secret := range []string{old, next, stranger} {
					require.NotContains(t, err.Error(), secret)
				}
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestTolerance(t *testing.T) {
	t.Parallel()
	p := newProvider(t, &stripebilling.Options{WebhookSecrets: []string{"whsec_x", "whsec_y"}, WebhookTolerance: time.Minute})
	_, err := p.Event(signed("whsec_y", time.Now().Add(-50*time.Second), eventBody), []byte(eventBody))
	require.NoError(t, err)
	_, err = p.Event(signed("whsec_y", time.Now().Add(-70*time.Second), eventBody), []byte(eventBody))
	require.ErrorIs(t, err, billing.ErrSignature)
	require.ErrorIs(t, err, webhook.ErrTooOld)
}

func TestLongSignatureHeaderIsRefused(t *testing.T) {
	t.Parallel()
	p := newProvider(t, &stripebilling.Options{WebhookSecrets: []string{"whsec_x"}})
	h := signed("whsec_x", time.Now(), eventBody)
	h.Set("Stripe-Signature", h.Get("Stripe-Signature")+strings.Repeat(",v0=00", 1000))
	_, err := p.Event(h, []byte(eventBody))
	require.ErrorIs(t, err, billing.ErrSignature)
}

func TestEventShapes(t *testing.T) {
	t.Parallel()
	p := newProvider(t, &stripebilling.Options{WebhookSecrets: []string{"whsec_x"}})
	for name, c := range map[string]struct{ body, subscription string }{
		"subscription":          {eventBody, "sub_1"},
		"checkout":              {`{"id":"e","type":"t","data":{"object":{"id":"cs_1","object":"checkout.session","subscription":"sub_2"}}}`, "sub_2"},
		"checkout of a payment": {`{"id":"e","type":"t","data":{"object":{"id":"cs_1","object":"checkout.session","subscription":null}}}`, ""},
		"invoice":               {`{"id":"e","type":"t","data":{"object":{"id":"in_1","object":"invoice","subscription":"sub_3"}}}`, "sub_3"},
		"invoice, expanded":     {`{"id":"e","type":"t","data":{"object":{"object":"invoice","subscription":{"id":"sub_4"}}}}`, "sub_4"},
		"invoice since 2025":    {`{"id":"e","type":"t","data":{"object":{"object":"invoice","parent":{"subscription_details":{"subscription":"sub_5"}}}}}`, "sub_5"},
		"invoice by hand":       {`{"id":"e","type":"t","data":{"object":{"object":"invoice","parent":null}}}`, ""},
		"customer":              {`{"id":"e","type":"t","data":{"object":{"id":"cus_1","object":"customer","subscription":"sub_6"}}}`, ""},
		"live event":            {strings.Replace(eventBody, `"livemode":false`, `"livemode":true`, 1), ""},
		"connected account":     {strings.Replace(eventBody, `"livemode"`, `"account":"acct_1","livemode"`, 1), ""},
		"thin event":            {`{"id":"e","type":"v1.billing.meter.error","created":"2025-01-02T03:04:05Z","related_object":{"id":"m","type":"billing.meter"}}`, ""},
		"odd object":            {`{"id":"e","type":"t","data":{"object":[1]}}`, ""},
	} {
		e, err := p.Event(signed("whsec_x", time.Now(), c.body), []byte(c.body))
		require.NoError(t, err, name)
		require.Equal(t, c.subscription, e.Object, name)
		require.Equal(t, c.subscription != "", e.Kind == billing.KindSubscription, name)
		if name == "thin event" {
			require.Equal(t, time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC), e.At)
		}
	}
}

// The whole way, from the button to the entitlement, through the real SDK and signed webhooks.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	p, s := setup(t, nil, stripebilling.Options{ReturnURL: "https://app.example"})
	b, err := billing.New(billingtest.Plans(), p, billingtest.NewStore(), nil)
	require.NoError(t, err)
	s.Connect(b.Webhook())
	require.Error(t, b.Can(t.Context(), "sso", 1).Err())

	session, err := b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "team"})
	require.NoError(t, err)
	id, err := s.Complete(session.ID)
	require.NoError(t, err)
	require.NoError(t, b.Can(t.Context(), "sso", 1).Err())
	_, err = b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "pro"})
	require.ErrorIs(t, err, billing.ErrAlreadySubscribed)

	// Down: the webhook waits, entitlements stand; up: it is delivered again.
	s.Down(true)
	require.Error(t, s.Update(id, func(sub *stripetest.Subscription) { sub.Status = "canceled" }))
	require.NoError(t, b.Can(t.Context(), "sso", 1).Err())
	s.Down(false)
	require.NoError(t, s.Deliver())
	require.ErrorIs(t, b.Can(t.Context(), "sso", 1).Err(), billing.ErrNotIncluded)
}

// Two programs with their own stores share an account and get each other's webhooks. Both call a tenant
// "default": what the one's buys must not be the other's.
func TestProgramsOnOneAccountShareNoCustomer(t *testing.T) {
	t.Parallel()
	p, s := setup(t, nil, stripebilling.Options{ReturnURL: "https://app.example"})
	var programs [2]*billing.Billing
	var sessions [2]billing.Session
	for i := range programs {
		var err error
		programs[i], err = billing.New(billingtest.Plans(), p, billingtest.NewStore(), nil)
		require.NoError(t, err)
		sessions[i], err = programs[i].Checkout(t.Context(), billing.CheckoutRequest{Plan: "team"})
		require.NoError(t, err)
	}
	_, err := s.Complete(sessions[0].ID)
	require.NoError(t, err)
	for _, d := range s.Deliveries() {
		for _, b := range programs {
			require.Equal(t, http.StatusNoContent, d.Send(b.Webhook()))
		}
	}
	require.True(t, programs[0].Can(t.Context(), "sso", 1).Allowed)
	require.False(t, programs[1].Can(t.Context(), "sso", 1).Allowed)
}

func FuzzEventBody(f *testing.F) {
	for _, seed := range []string{
		eventBody, "", "null", "{}", `{"id":"e","type":"t","data":null}`, `{"id":"e","type":"t","created":1e300}`,
		`{"id":"e","type":"t","data":{"object":{"object":"invoice","parent":{"subscription_details":7}}}}`,
		`{"id":"e","type":"t","created":9223372036854775807,"data":{"object":"x"}}`, `{"id":"e","type":"t","created":"-9999-01-01T00:00:00Z"}`,
	} {
		f.Add([]byte(seed))
	}
	p := newProvider(f, &stripebilling.Options{WebhookSecrets: []string{"whsec_x"}})
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := p.Event(signed("whsec_x", time.Now(), string(body)), body)
		if err != nil {
			require.ErrorIs(t, err, billing.ErrInvalid)
			require.Zero(t, e)
			return
		}
		require.NotEmpty(t, e.ID)
		require.NotEmpty(t, e.Type)
		require.Equal(t, e.Kind == "", e.Object == "", "an object has both or none")
		if !e.At.IsZero() {
			require.Equal(t, time.UTC, e.At.Location())
			require.True(t, e.At.Year() >= 0 && e.At.Year() <= 9999, "a database must hold %v", e.At)
		}
	})
}

// No header verifies but a correct, fresh one.
func FuzzSignatureHeader(f *testing.F) {
	const secret = "whsec_x"
	now := time.Now()
	good := signed(secret, now, eventBody).Get("Stripe-Signature")
	for _, seed := range []string{good, "", "t=,v1=", "t=1,v1=zz", good + "," + good, strings.Replace(good, "v1", "v0", 1), "v1=00,t=99999999999999999999"} {
		f.Add(seed)
	}
	p := newProvider(f, &stripebilling.Options{WebhookSecrets: []string{secret}})
	f.Fuzz(func(t *testing.T, header string) {
		_, err := p.Event(http.Header{"Stripe-Signature": {header}}, []byte(eventBody))
		if err == nil {
			// Accepted: then it must contain the sum for the time that it names.
			_, stamp, _ := strings.Cut(header, "t=")
			require.NotEmpty(t, stamp, "accepted %q without a time", header)
			require.Contains(t, strings.ToLower(header), good[strings.Index(good, "v1=")+3:])
			return
		}
		require.True(t, errors.Is(err, billing.ErrSignature))
	})
}
