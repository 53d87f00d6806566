package stripebilling

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76"
	portal "github.com/stripe/stripe-go/v76/billingportal/session"
	checkout "github.com/stripe/stripe-go/v76/checkout/session"
	"github.com/stripe/stripe-go/v76/customer"
	"github.com/stripe/stripe-go/v76/price"
	"github.com/stripe/stripe-go/v76/subscription"

	"github.com/ashlar-go/ashlar/billing"
)

// Provider is a billing.Provider on one Stripe account and mode. Make one with [New]; it is safe for
// concurrent use.
type Provider struct {
	key  string
	back stripe.Backend
	live bool
	opts *Options
}

var _ billing.Provider = (*Provider)(nil)

// Options of [New]. Nil means all defaults.
type Options struct {
	// WebhookSecrets are the endpoint's signing secrets ("whsec_…"): several while one is rotated out. With none,
	// every webhook is refused.
	WebhookSecrets []string
	// WebhookTolerance is how old a signature may be. Zero means 5 minutes; negative is an error.
	WebhookTolerance time.Duration
	// ReturnURL is where buyers go when a request names no URL. Empty: a checkout without SuccessURL is
	// ErrInvalid, since Stripe demands one, and portals use the one configured at Stripe.
	ReturnURL string
	// Retries is how often a failed call is repeated. Zero means 2; negative means never.
	Retries int
	// HTTPClient makes the calls. Nil means one with a timeout of 10 s per attempt and no redirects.
	HTTPClient *http.Client
	// URL is the API's address. Empty means Stripe's; tests pass that of a stripetest.Server.
	URL string
}

func (o *Options) tolerance() time.Duration {
	if o == nil || o.WebhookTolerance == 0 {
		return 5 * time.Minute
	}
	return o.WebhookTolerance
}

func (o *Options) retries() int {
	if o == nil || o.Retries == 0 {
		return 2
	}
	return max(o.Retries, 0)
}

func (o *Options) secrets() []string {
	if o == nil {
		return nil
	}
	return o.WebhookSecrets
}

// returnURL picks what a request says, else the default, else nothing.
func (o *Options) returnURL(requested string) *string {
	if requested == "" && o != nil {
		requested = o.ReturnURL
	}
	if requested == "" {
		return nil
	}
	return &requested
}

func (o *Options) httpClient() *http.Client {
	c := http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if o != nil && o.HTTPClient != nil {
		c = *o.HTTPClient
	}
	c.Transport = bounded{c.Transport}
	return &c
}

func (o *Options) url() string {
	if o == nil || o.URL == "" {
		return stripe.APIURL
	}
	return o.URL
}

// New takes a secret or restricted key ("sk_…", "rk_…"). It does no I/O. Errors never repeat a key.
func New(key string, opts *Options) (*Provider, error) {
	if !strings.HasPrefix(key, "sk_") && !strings.HasPrefix(key, "rk_") || strings.ContainsAny(key, " \t\r\n") {
		return nil, errors.New("stripebilling: the key is not a secret or restricted key (sk_…, rk_…)")
	}
	if opts.tolerance() < 0 {
		return nil, errors.New("stripebilling: Options.WebhookTolerance is negative")
	}
	for _, s := range opts.secrets() {
		if s == "" || strings.TrimSpace(s) != s {
			return nil, errors.New("stripebilling: Options.WebhookSecrets has an empty or padded secret")
		}
	}
	if u, err := url.Parse(opts.url()); err != nil || u.Host == "" {
		return nil, errors.New("stripebilling: Options.URL is not an absolute URL")
	}
	back := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL:               stripe.String(opts.url()),
		HTTPClient:        opts.httpClient(),
		MaxNetworkRetries: stripe.Int64(0),
		EnableTelemetry:   stripe.Bool(false),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	live := !strings.HasPrefix(key, "sk_test_") && !strings.HasPrefix(key, "rk_test_")
	return &Provider{key: key, back: back, live: live, opts: opts}, nil
}

// Name is "stripe" for live keys and "stripe_test" for test keys, so that a store never mixes the modes.
func (p *Provider) Name() string {
	if p.live {
		return "stripe"
	}
	return "stripe_test"
}

// String hides the keys from fmt.
func (p *Provider) String() string { return "stripebilling(" + p.Name() + ")" }

// GoString hides the keys from %#v.
func (p *Provider) GoString() string { return p.String() }

// Metadata that Checkout leaves on customers and subscriptions.
const (
	metaTenant = "tenant"
	metaPlan   = "plan"
	metaPrice  = "plan_price" // id of the price that metaPlan was sold at
)

// Customer implements billing.Provider.
func (p *Provider) Customer(ctx context.Context, spec billing.CustomerSpec) (string, error) {
	var id string
	err := p.call(ctx, "create customer", func() error {
		c, err := customer.Client{B: p.back, Key: p.key}.New(&stripe.CustomerParams{
			Params:   stripe.Params{Context: ctx, IdempotencyKey: &spec.Key},
			Metadata: map[string]string{metaTenant: spec.Tenant},
		})
		id = c.ID
		return err
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// Checkout implements billing.Provider.
func (p *Provider) Checkout(ctx context.Context, spec billing.CheckoutSpec) (billing.Session, error) {
	const op = "create checkout session"
	success := p.opts.returnURL(spec.SuccessURL)
	if success == nil {
		return billing.Session{}, p.fail(op, billing.ErrInvalid, "no return address: set CheckoutRequest.SuccessURL or stripebilling.Options.ReturnURL")
	}
	priceID, err := p.price(ctx, spec.Price)
	if err != nil {
		return billing.Session{}, err
	}
	data := &stripe.CheckoutSessionSubscriptionDataParams{
		Metadata: map[string]string{metaTenant: spec.Tenant, metaPlan: spec.Plan, metaPrice: priceID},
	}
	if spec.TrialDays > 0 {
		data.TrialPeriodDays = stripe.Int64(int64(spec.TrialDays))
	}
	var s billing.Session
	err = p.call(ctx, op, func() error {
		cs, err := checkout.Client{B: p.back, Key: p.key}.New(&stripe.CheckoutSessionParams{
			Params:           stripe.Params{Context: ctx, IdempotencyKey: &spec.Key},
			Mode:             stripe.String(string(stripe.CheckoutSessionModeSubscription)),
			Customer:         &spec.Customer,
			LineItems:        []*stripe.CheckoutSessionLineItemParams{{Price: &priceID, Quantity: stripe.Int64(1)}},
			SuccessURL:       success,
			CancelURL:        p.opts.returnURL(spec.CancelURL),
			SubscriptionData: data,
		})
		s = billing.Session{ID: cs.ID, URL: cs.URL}
		return err
	})
	if err != nil {
		return billing.Session{}, err
	}
	return s, nil
}

// price finds the active price with the lookup key, and insists that it costs what the catalogue says.
func (p *Provider) price(ctx context.Context, want billing.Price) (string, error) {
	const op = "find price"
	var found *stripe.Price
	err := p.call(ctx, op, func() error {
		params := &stripe.PriceListParams{Active: stripe.Bool(true), LookupKeys: []*string{&want.Key}}
		params.Context, params.Limit, params.Single = ctx, stripe.Int64(1), true
		it := price.Client{B: p.back, Key: p.key}.List(params)
		if it.Next() {
			found = it.Price()
		}
		return it.Err()
	})
	switch {
	case err != nil:
		return "", err
	case found == nil:
		return "", p.fail(op, billing.ErrNotFound, "no active price has the lookup_key "+want.Key)
	case found.UnitAmount != want.Amount || !strings.EqualFold(string(found.Currency), want.Currency) ||
		found.Recurring == nil || string(found.Recurring.Interval) != string(want.Interval) || found.Recurring.IntervalCount > 1:
		return "", p.fail(op, billing.ErrConflict, "the price with lookup_key "+want.Key+" is not "+want.String()+" per "+string(want.Interval))
	}
	return found.ID, nil
}

// Portal implements billing.Provider.
func (p *Provider) Portal(ctx context.Context, spec billing.PortalSpec) (billing.Session, error) {
	key := stripe.NewIdempotencyKey()
	var s billing.Session
	err := p.call(ctx, "create portal session", func() error {
		ps, err := portal.Client{B: p.back, Key: p.key}.New(&stripe.BillingPortalSessionParams{
			Params:    stripe.Params{Context: ctx, IdempotencyKey: &key},
			Customer:  &spec.Customer,
			ReturnURL: p.opts.returnURL(spec.ReturnURL),
		})
		s = billing.Session{ID: ps.ID, URL: ps.URL}
		return err
	})
	if err != nil {
		return billing.Session{}, err
	}
	return s, nil
}

// Subscription implements billing.Provider.
func (p *Provider) Subscription(ctx context.Context, id string) (billing.Subscription, error) {
	const op = "get subscription"
	var s *stripe.Subscription
	err := p.call(ctx, op, func() (err error) {
		s, err = subscription.Client{B: p.back, Key: p.key}.Get(id, &stripe.SubscriptionParams{Params: stripe.Params{Context: ctx}})
		return err
	})
	if err != nil {
		return billing.Subscription{}, err
	}
	out := billing.Subscription{
		Provider: p.Name(), ID: s.ID, State: billing.State(s.Status), CancelAtPeriodEnd: s.CancelAtPeriodEnd,
		Created: date(s.Created), PeriodEnd: date(s.CurrentPeriodEnd), TrialEnd: date(s.TrialEnd),
	}
	if !out.State.Valid() || s.Customer == nil || s.Items == nil || len(s.Items.Data) == 0 || s.Items.Data[0].Price == nil {
		return billing.Subscription{}, p.fail(op, billing.ErrInvalid, "the answer has an unknown status or lacks customer or price")
	}
	out.Customer = s.Customer.ID
	first := s.Items.Data[0].Price
	out.Price = first.LookupKey
	// A price whose lookup key moved on to a successor is still the plan it was sold as; any other price is not.
	if s.Metadata[metaPrice] == first.ID {
		out.Plan = s.Metadata[metaPlan]
	}
	return out, nil
}

func date(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}
