package stripetest

import (
	"crypto/rand"
	"errors"
	"maps"
	"strings"
	"time"
)

// Price is a recurring price of the fake account.
type Price struct {
	ID        string // filled in by AddPrice
	LookupKey string
	Amount    int64  // minor units
	Currency  string // ISO 4217; Stripe writes it in lower case
	Interval  string // "month" or "year"
}

func (p *Price) object() object {
	o := object{
		"id": p.ID, "object": "price", "active": true, "livemode": false, "type": "recurring", "billing_scheme": "per_unit",
		"currency": strings.ToLower(p.Currency), "unit_amount": p.Amount, "lookup_key": nil,
		"recurring": object{"interval": p.Interval, "interval_count": 1, "usage_type": "licensed"},
	}
	if p.LookupKey != "" {
		o["lookup_key"] = p.LookupKey
	}
	return o
}

type session struct {
	customer  string
	price     *Price
	trialDays int
	metadata  map[string]string
	sub       string // set once completed
}

// Subscription is a subscription of the fake account.
type Subscription struct {
	ID, Customer, Status string
	PriceID              string
	Metadata             map[string]string
	CancelAtPeriodEnd    bool
	Created              time.Time
	PeriodEnd, TrialEnd  time.Time // zero TrialEnd: no trial
}

var errMissing = errors.New("stripetest: no such object")

// AddPrice puts a price up for sale and returns its id. A lookup key in use moves to the new price, as with
// Stripe's transfer_lookup_key.
func (s *Server) AddPrice(p Price) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.prices {
		if old.LookupKey == p.LookupKey {
			old.LookupKey = ""
		}
	}
	p.ID = "price_" + rand.Text()[:14]
	s.prices[p.ID] = &p
	return p.ID
}

// Complete pays an open checkout session and returns the id of the new subscription. Paying twice returns
// the same one. An error beside an id means that the connected handler refused a webhook.
func (s *Server) Complete(sessionID string) (subscription string, err error) {
	s.mu.Lock()
	c := s.sessions[sessionID]
	if c == nil || c.sub != "" {
		defer s.mu.Unlock()
		if c == nil {
			return "", errMissing
		}
		return c.sub, nil
	}
	now := time.Now().UTC().Truncate(time.Second)
	sub := &Subscription{
		ID: "sub_" + rand.Text()[:14], Customer: c.customer, Status: "active", PriceID: c.price.ID,
		Metadata: maps.Clone(c.metadata), Created: now, PeriodEnd: now.AddDate(0, 1, 0),
	}
	if c.price.Interval == "year" {
		sub.PeriodEnd = now.AddDate(1, 0, 0)
	}
	if c.trialDays > 0 {
		sub.Status, sub.TrialEnd = "trialing", now.AddDate(0, 0, c.trialDays)
		sub.PeriodEnd = sub.TrialEnd
	}
	c.sub = sub.ID
	s.subs[sub.ID] = sub
	s.emit("customer.subscription.created", s.subscription(sub))
	s.emit("invoice.paid", s.invoice(sub))
	s.emit("checkout.session.completed", object{
		"id": sessionID, "object": "checkout.session", "customer": c.customer, "subscription": sub.ID,
		"mode": "subscription", "status": "complete", "payment_status": "paid",
	})
	s.mu.Unlock()
	return sub.ID, s.Deliver()
}

// Update changes a subscription as Stripe or its dashboard would, and emits the webhook.
func (s *Server) Update(subscription string, change func(*Subscription)) error {
	s.mu.Lock()
	sub := s.subs[subscription]
	if sub == nil {
		s.mu.Unlock()
		return errMissing
	}
	change(sub)
	typ := "customer.subscription.updated"
	if sub.Status == "canceled" {
		typ = "customer.subscription.deleted"
	}
	s.emit(typ, s.subscription(sub))
	s.mu.Unlock()
	return s.Deliver()
}

func (s *Server) subscription(sub *Subscription) object {
	o := object{
		"id": sub.ID, "object": "subscription", "livemode": false, "status": sub.Status, "customer": sub.Customer,
		"metadata": maps.Clone(sub.Metadata), "cancel_at_period_end": sub.CancelAtPeriodEnd, "created": sub.Created.Unix(),
		"trial_end": nil,
	}
	item := object{"id": "si_" + strings.TrimPrefix(sub.ID, "sub_"), "object": "subscription_item", "quantity": 1}
	if p := s.prices[sub.PriceID]; p != nil {
		item["price"] = p.object()
	}
	o["current_period_end"] = sub.PeriodEnd.Unix()
	o["items"] = object{"object": "list", "has_more": false, "data": []object{item}}
	if !sub.TrialEnd.IsZero() {
		o["trial_end"] = sub.TrialEnd.Unix()
	}
	return o
}

// invoice has the shape of the webhook's API version: the subscription's id moved in 2025-03-31.
func (s *Server) invoice(sub *Subscription) object {
	o := object{"id": "in_" + rand.Text()[:14], "object": "invoice", "customer": sub.Customer, "status": "paid"}
	if s.opts.apiVersion() >= "2025-03-31" {
		o["parent"] = object{"type": "subscription_details", "subscription_details": object{"subscription": sub.ID}}
	} else {
		o["subscription"] = sub.ID
	}
	return o
}
