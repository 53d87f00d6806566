package billingtest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/billing"
)

// Remote is the far side of a provider under test: what buyers and the provider itself do.
type Remote interface {
	Complete(session string) (subscription string, err error) // the buyer pays
	SetState(subscription string, s billing.State) error      // the provider changes it
	Deliveries() []Delivery                                   // webhooks since the last call
	Sign(at time.Time, body []byte) Delivery                  // a webhook with any body, signed at a time
	Down(down bool)                                           // every call fails, or works again
}

var _ Remote = (*Provider)(nil)

// RunProvider checks a billing.Provider. open returns a fresh one that sells [Plans], and its far side.
func RunProvider(t *testing.T, open func(t *testing.T) (billing.Provider, Remote), f Features) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, p billing.Provider, r Remote, f Features)
	}{
		{"a checkout becomes a subscription", providerCheckout},
		{"a trial is a trial", providerTrial},
		{"repeated keys have one effect", providerIdempotent},
		{"what does not exist is not found", providerNotFound},
		{"prices are checked", providerPrices},
		{"every state is reported", providerStates},
		{"the portal opens", providerPortal},
		{"an outage is retryable and ends", providerDown},
		{"a cancelled context stops the call", providerCancel},
		{"webhooks say what they are about", providerEvents},
		{"forged webhooks are refused", providerForged},
		{"old webhooks are refused", providerReplay},
		{"foreign webhooks are ignored", providerForeign},
	} {
		f.in(t, c.name, func(t *testing.T) {
			p, r := open(t)
			c.run(t, p, r, f)
		})
	}
}

// order is a valid checkout of a plan.
func order(t *testing.T, p billing.Provider, plan, key string) billing.CheckoutSpec {
	t.Helper()
	customer, err := p.Customer(t.Context(), billing.CustomerSpec{Tenant: "acme", Key: "customer-acme"})
	noError(t, err)
	catalog := Plans()
	for _, pl := range catalog.Plans {
		if pl.ID == plan {
			price := pl.Prices[0]
			price.Key = pl.ID + "_month_usd"
			return billing.CheckoutSpec{
				Tenant: "acme", Customer: customer, Plan: plan, Price: price, TrialDays: pl.TrialDays,
				SuccessURL: "https://app.example/ok?x=1", CancelURL: "https://app.example/no", Key: key,
			}
		}
	}
	t.Fatalf("no plan %q", plan)
	return billing.CheckoutSpec{}
}

// subscribe buys a plan.
func subscribe(t *testing.T, p billing.Provider, r Remote, plan string) (spec billing.CheckoutSpec, id string) {
	t.Helper()
	spec = order(t, p, plan, "subscribe-"+plan)
	s, err := p.Checkout(t.Context(), spec)
	noError(t, err)
	id, err = r.Complete(s.ID)
	noError(t, err)
	return spec, id
}

func providerCheckout(t *testing.T, p billing.Provider, r Remote, _ Features) {
	spec, id := subscribe(t, p, r, "pro")
	s, err := p.Subscription(t.Context(), id)
	noError(t, err)
	equal(t, "ID", s.ID, id)
	equal(t, "State", s.State, billing.StateActive)
	equal(t, "Price", s.Price, spec.Price.Key)
	equal(t, "Plan", s.Plan, "pro")
	equal(t, "Customer", s.Customer, spec.Customer)
	equal(t, "TrialEnd", s.TrialEnd, time.Time{})
	if d := s.PeriodEnd.Sub(s.Created); d < 27*24*time.Hour || d > 32*24*time.Hour {
		t.Errorf("a monthly period lasts %v", d)
	}
	if s.Created.Location() != time.UTC || s.PeriodEnd.Location() != time.UTC {
		t.Error("times are not UTC")
	}
}

func providerTrial(t *testing.T, p billing.Provider, r Remote, _ Features) {
	_, id := subscribe(t, p, r, "team")
	s, err := p.Subscription(t.Context(), id)
	noError(t, err)
	equal(t, "State", s.State, billing.StateTrialing)
	equal(t, "TrialEnd - Created", s.TrialEnd.Sub(s.Created), 14*24*time.Hour)
}

func providerIdempotent(t *testing.T, p billing.Provider, _ Remote, _ Features) {
	first, err := p.Customer(t.Context(), billing.CustomerSpec{Tenant: "acme", Key: "k1"})
	noError(t, err)
	again, err := p.Customer(t.Context(), billing.CustomerSpec{Tenant: "acme", Key: "k1"})
	noError(t, err)
	equal(t, "customer", again, first)

	spec := order(t, p, "pro", "k2")
	a, err := p.Checkout(t.Context(), spec)
	noError(t, err)
	b, err := p.Checkout(t.Context(), spec)
	noError(t, err)
	equal(t, "session", b, a)
	spec.CancelURL += "/other"
	_, err = p.Checkout(t.Context(), spec)
	isError(t, err, billing.ErrConflict)
	spec.Key = "k3"
	c, err := p.Checkout(t.Context(), spec)
	noError(t, err)
	if c.ID == a.ID {
		t.Error("another key got the same session")
	}
}

func providerNotFound(t *testing.T, p billing.Provider, _ Remote, _ Features) {
	_, err := p.Subscription(t.Context(), "sub_missing")
	isError(t, err, billing.ErrNotFound)
	_, err = p.Portal(t.Context(), billing.PortalSpec{Customer: "cus_missing", ReturnURL: "https://app.example"})
	isError(t, err, billing.ErrNotFound)
	spec := order(t, p, "pro", "k")
	spec.Customer = "cus_missing"
	_, err = p.Checkout(t.Context(), spec)
	isError(t, err, billing.ErrNotFound)
	var typed *billing.Error
	if !errors.As(err, &typed) || typed.Retryable || typed.Op == "" {
		t.Errorf("want a final *billing.Error with Op, got %#v", err)
	}
}

func providerPrices(t *testing.T, p billing.Provider, _ Remote, f Features) {
	spec := order(t, p, "pro", "k1")
	spec.SuccessURL = ""
	_, err := p.Checkout(t.Context(), spec)
	isError(t, err, billing.ErrInvalid)
	if f.AnyPrice {
		return
	}
	spec = order(t, p, "pro", "k2")
	spec.Price.Key = "nobody_sells_this"
	_, err = p.Checkout(t.Context(), spec)
	isError(t, err, billing.ErrNotFound)
	spec = order(t, p, "pro", "k3")
	spec.Price.Amount++
	_, err = p.Checkout(t.Context(), spec)
	isError(t, err, billing.ErrConflict)
}

func providerStates(t *testing.T, p billing.Provider, r Remote, _ Features) {
	_, id := subscribe(t, p, r, "pro")
	for _, want := range append([]billing.State{billing.StateIncomplete, billing.StateExpired}, states...) {
		noError(t, r.SetState(id, want))
		s, err := p.Subscription(t.Context(), id)
		noError(t, err)
		equal(t, "State", s.State, want)
	}
}

func providerPortal(t *testing.T, p billing.Provider, r Remote, _ Features) {
	spec, _ := subscribe(t, p, r, "pro")
	s, err := p.Portal(t.Context(), billing.PortalSpec{Customer: spec.Customer, ReturnURL: "https://app.example/billing"})
	noError(t, err)
	if s.URL == "" || s.ID == "" {
		t.Errorf("empty portal session %+v", s)
	}
}

func providerDown(t *testing.T, p billing.Provider, r Remote, _ Features) {
	_, id := subscribe(t, p, r, "pro")
	spec := order(t, p, "pro", "during the outage")
	r.Down(true)
	_, err := p.Subscription(t.Context(), id)
	isError(t, err, billing.ErrUnavailable)
	_, err = p.Checkout(t.Context(), spec)
	isError(t, err, billing.ErrUnavailable)
	var typed *billing.Error
	if !errors.As(err, &typed) || !typed.Retryable {
		t.Errorf("want a retryable *billing.Error, got %#v", err)
	}
	r.Down(false)
	_, err = p.Checkout(t.Context(), spec)
	noError(t, err)
}

func providerCancel(t *testing.T, p billing.Provider, r Remote, _ Features) {
	_, id := subscribe(t, p, r, "pro")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Subscription(ctx, id)
	isError(t, err, context.Canceled)
}

func providerEvents(t *testing.T, p billing.Provider, r Remote, _ Features) {
	_, id := subscribe(t, p, r, "pro")
	noError(t, r.SetState(id, billing.StateCanceled))
	ds := r.Deliveries()
	if len(ds) < 2 {
		t.Fatalf("a purchase and a cancellation sent %d webhooks", len(ds))
	}
	seen := map[string]bool{}
	for _, d := range ds {
		e, err := p.Event(d.Header, d.Body)
		noError(t, err)
		equal(t, "Kind", e.Kind, billing.KindSubscription)
		equal(t, "Object", e.Object, id)
		if e.ID == "" || e.Type == "" || seen[e.ID] || time.Since(e.At).Abs() > time.Hour {
			t.Errorf("event %+v", e)
		}
		seen[e.ID] = true
	}
}

func providerForged(t *testing.T, p billing.Provider, r Remote, _ Features) {
	subscribe(t, p, r, "pro")
	d := r.Deliveries()[0]
	_, err := p.Event(d.Header, d.Body)
	noError(t, err)
	for name, forge := range map[string]func(h http.Header, body []byte) (http.Header, []byte){
		"no header": func(_ http.Header, b []byte) (http.Header, []byte) { return nil, b },
		"body changed": func(h http.Header, b []byte) (http.Header, []byte) {
			return h, bytes.Replace(b, []byte("sub_"), []byte("sup_"), 1)
		},
		"body extended": func(h http.Header, b []byte) (http.Header, []byte) { return h, append(bytes.Clone(b), '\n') },
		"no body":       func(h http.Header, _ []byte) (http.Header, []byte) { return h, nil },
		"time changed":  func(h http.Header, b []byte) (http.Header, []byte) { return mapHeader(h, nextDigit), b },
		"sum cut": func(h http.Header, b []byte) (http.Header, []byte) {
			return mapHeader(h, func(v string) string { return v[:len(v)-2] }), b
		},
		"empty": func(h http.Header, b []byte) (http.Header, []byte) {
			return mapHeader(h, func(string) string { return "" }), b
		},
		"garbage": func(h http.Header, b []byte) (http.Header, []byte) {
			return mapHeader(h, func(string) string { return "t=,v1=,=,.\x00" }), b
		},
	} {
		h, body := forge(d.Header, d.Body)
		if _, err := p.Event(h, body); !errors.Is(err, billing.ErrSignature) {
			t.Errorf("%s: error is %v, want ErrSignature", name, err)
		}
	}
}

// nextDigit changes the first digit of v, which is in the time stamp.
func nextDigit(v string) string {
	b := []byte(v)
	for i, c := range b {
		if c >= '0' && c <= '9' {
			b[i] = '0' + (c-'0'+1)%10
			break
		}
	}
	return string(b)
}

func mapHeader(h http.Header, f func(string) string) http.Header {
	out := http.Header{}
	for k, vs := range h {
		for _, v := range vs {
			out.Add(k, f(v))
		}
	}
	return out
}

func providerReplay(t *testing.T, p billing.Provider, r Remote, _ Features) {
	subscribe(t, p, r, "pro")
	body := r.Deliveries()[0].Body
	fresh := r.Sign(time.Now().Add(-time.Minute), body)
	_, err := p.Event(fresh.Header, fresh.Body)
	noError(t, err)
	old := r.Sign(time.Now().Add(-6*time.Minute), body)
	_, err = p.Event(old.Header, old.Body)
	isError(t, err, billing.ErrSignature)
}

func providerForeign(t *testing.T, p billing.Provider, r Remote, _ Features) {
	d := r.Sign(time.Now(), []byte(`{"id":"evt_1","type":"something.new","data":{"object":{"id":"x_1","object":"something"}}}`))
	e, err := p.Event(d.Header, d.Body)
	noError(t, err)
	equal(t, "Kind", e.Kind, "")
	for _, body := range []string{"", "null", "[]", "{", `"x"`, `{"data":7}`, `{"data":null}`} {
		d := r.Sign(time.Now(), []byte(body))
		e, err := p.Event(d.Header, d.Body)
		if err == nil && e.Kind+e.Object != "" || err != nil && !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("signed %q: event %+v, error %v; want no object or ErrInvalid", body, e, err)
		}
	}
}
