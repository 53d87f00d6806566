package billing

import "time"

// State is where a subscription is in its life. The names are Stripe's, which other providers' states
// map to: https://docs.stripe.com/billing/subscriptions/overview. The zero value means that there is
// no subscription.
type State string

// The states. A subscription begins incomplete, trialing or active and ends expired or canceled.
const (
	StateIncomplete State = "incomplete"         // the first payment is not made yet
	StateExpired    State = "incomplete_expired" // the first payment was never made; the end
	StateTrialing   State = "trialing"
	StateActive     State = "active"
	StatePastDue    State = "past_due" // a payment failed and is being retried: still entitled
	StateUnpaid     State = "unpaid"   // retries are exhausted
	StatePaused     State = "paused"   // a trial ended without a payment method
	StateCanceled   State = "canceled" // the end
)

// Valid reports whether s is one of the states above.
func (s State) Valid() bool {
	switch s {
	case StateIncomplete, StateExpired, StateTrialing, StateActive, StatePastDue, StateUnpaid, StatePaused, StateCanceled:
		return true
	}
	return false
}

// Entitled reports whether the subscription's plan is in force: trialing, active or past due.
func (s State) Entitled() bool {
	return s == StateTrialing || s == StateActive || s == StatePastDue
}

// Ended reports whether nothing can follow: canceled or expired.
func (s State) Ended() bool { return s == StateCanceled || s == StateExpired }

// CanBecome reports whether a subscription once seen in s can later be seen in next, possibly after
// states nobody saw. Nothing follows an end; nothing becomes incomplete again; only an incomplete
// subscription expires. A store refuses what cannot be, since it can only come from a stale read.
func (s State) CanBecome(next State) bool {
	switch {
	case !next.Valid():
		return false
	case s == "" || s == next || s == StateIncomplete:
		return true
	case s.Ended():
		return false
	}
	return next != StateIncomplete && next != StateExpired
}

// Subscription is a provider's subscription as last fetched. Times are UTC with microseconds; a zero
// time means not applicable.
type Subscription struct {
	Provider string // Provider.Name
	ID       string // the provider's id
	Tenant   string // empty while the customer is unknown
	Customer string // the provider's id of the tenant
	State    State
	// Plan is the catalogue's plan. Billing resolves it from Price and, when the catalogue has no such
	// price, keeps what the provider noted at checkout, if that is a plan. Empty: not a plan of the catalogue.
	Plan              string
	Price             string // Price.Key
	CancelAtPeriodEnd bool
	Created           time.Time
	PeriodEnd         time.Time // when the paid or trial period ends
	TrialEnd          time.Time
}

// rank orders a tenant's subscriptions by how much they matter; the highest is the current one.
func (s *Subscription) rank() int {
	switch {
	case s.State.Entitled():
		return 3
	case s.State == StateUnpaid, s.State == StatePaused:
		return 2
	case s.State == StateIncomplete:
		return 1
	}
	return 0
}

// current picks the highest rank, among equals the newest. The zero Subscription stands for none.
func current(subs []Subscription) Subscription {
	var best Subscription
	for i, s := range subs {
		if i == 0 || s.rank() > best.rank() || s.rank() == best.rank() && s.Created.After(best.Created) {
			best = s
		}
	}
	return best
}
