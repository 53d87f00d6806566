package billingtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/billing"
)

// RunStore checks a billing.Store. open returns a fresh, empty one.
func RunStore(t *testing.T, open func(t *testing.T) billing.Store, f Features) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s billing.Store)
	}{
		{"the first customer stays", storeCustomer},
		{"one of many concurrent customers wins", storeCustomerRace},
		{"an event counts once", storeIngest},
		{"concurrent events get different generations", storeIngestRace},
		{"every field is kept", storeRoundTrip},
		{"an older fetch never replaces a younger", storeFence},
		{"what ended stays ended", storeEnded},
		{"an unknown customer's subscription waits", storeAdopt},
		{"a customer saved meanwhile is not missed", storeAdoptRace},
		{"tenants and providers are apart", storeApart},
		{"live before ended, newest first, at most 16", storeOrder},
		{"concurrent fetches converge to the truth", storeConverge},
		{"a cancelled context stops the call", storeCancel},
	} {
		f.in(t, c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// event is a distinct event about a subscription.
func event(id, sub string) billing.Event {
	return billing.Event{
		Provider: "p", ID: id, Type: "test", At: past(time.Minute),
		Kind: billing.KindSubscription, Object: sub,
	}
}

// put ingests an event and applies s under its generation.
func put(t *testing.T, st billing.Store, eventID string, s billing.Subscription) billing.Change {
	t.Helper()
	e := event(eventID, s.ID)
	e.Provider = s.Provider
	m, err := st.Ingest(t.Context(), e)
	noError(t, err)
	c, err := st.Apply(t.Context(), s, m.Generation)
	noError(t, err)
	return c
}

// sample is an active subscription of customer "c".
func sample(id string) billing.Subscription {
	return billing.Subscription{Provider: "p", ID: id, Customer: "c", State: billing.StateActive, Plan: "pro", Price: "pro_month_usd", Created: past(time.Hour)}
}

func storeCustomer(t *testing.T, s billing.Store) {
	_, err := s.Customer(t.Context(), "p", "acme")
	isError(t, err, billing.ErrNotFound)
	for _, id := range []string{"c1", "c1", "c2"} {
		bound, err := s.SaveCustomer(t.Context(), "p", "acme", id)
		noError(t, err)
		equal(t, "bound customer", bound, "c1")
	}
	got, err := s.Customer(t.Context(), "p", "acme")
	noError(t, err)
	equal(t, "customer", got, "c1")
	_, err = s.SaveCustomer(t.Context(), "p", "other", "c1")
	isError(t, err, billing.ErrConflict)
	_, err = s.Customer(t.Context(), "p", "other")
	isError(t, err, billing.ErrNotFound)
	_, err = s.SaveCustomer(t.Context(), "q", "other", "c1")
	noError(t, err)
}

func storeCustomerRace(t *testing.T, s billing.Store) {
	const n = 8
	bound := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			id, err := s.SaveCustomer(t.Context(), "p", "acme", fmt.Sprintf("c%d", i))
			if err != nil {
				t.Error(err)
			}
			bound[i] = id
		})
	}
	wg.Wait()
	for _, id := range bound {
		equal(t, "bound customer", id, bound[0])
	}
}

func storeIngest(t *testing.T, s billing.Store) {
	for _, c := range []struct {
		event, sub string
		gen        int64
	}{{"e1", "s1", 1}, {"e1", "s1", 1}, {"e2", "s1", 2}, {"e1", "s1", 2}, {"e3", "s2", 1}} {
		m, err := s.Ingest(t.Context(), event(c.event, c.sub))
		noError(t, err)
		equal(t, "mark after "+c.event, m, billing.Mark{Generation: c.gen})
	}
	_, err := s.Apply(t.Context(), sample("s1"), 1)
	noError(t, err)
	m, err := s.Ingest(t.Context(), event("e2", "s1"))
	noError(t, err)
	equal(t, "mark after applying 1 of 2", m, billing.Mark{Generation: 2, Applied: 1})
}

func storeIngestRace(t *testing.T, s billing.Store) {
	const n = 12
	var mu sync.Mutex
	seen := map[int64]string{}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			id := fmt.Sprintf("e%d", i)
			m, err := s.Ingest(t.Context(), event(id, "s1"))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if other := seen[m.Generation]; other != "" || m.Generation < 1 || m.Generation > n {
				t.Errorf("%s got generation %d, as did %q", id, m.Generation, other)
			}
			seen[m.Generation] = id
		})
	}
	wg.Wait()
	// One event delivered many times at once raises the generation by one.
	for range n {
		wg.Go(func() {
			if _, err := s.Ingest(t.Context(), event("same", "s1")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	m, err := s.Ingest(t.Context(), event("same", "s1"))
	noError(t, err)
	equal(t, "generation", m.Generation, n+1)
}

func storeRoundTrip(t *testing.T, s billing.Store) {
	_, err := s.SaveCustomer(t.Context(), "p", "acme", "c")
	noError(t, err)
	in := sample("s1")
	in.Tenant = "somebody else" // must be ignored
	in.CancelAtPeriodEnd, in.PeriodEnd, in.TrialEnd = true, past(-time.Hour), past(-2*time.Hour)
	want := in
	want.Tenant = "acme"
	c := put(t, s, "e1", in)
	equal(t, "change", c, billing.Change{After: want, Stored: true})

	next := in
	next.State, next.Plan, next.Price, next.CancelAtPeriodEnd = billing.StatePastDue, "", "", false
	next.PeriodEnd, next.TrialEnd = past(-3*time.Hour), time.Time{}
	c = put(t, s, "e2", next)
	next.Tenant = "acme"
	equal(t, "change", c, billing.Change{Before: want, After: next, Stored: true})
	subs, err := s.Subscriptions(t.Context(), "p", "acme")
	noError(t, err)
	if len(subs) != 1 {
		t.Fatalf("%d subscriptions", len(subs))
	}
	equal(t, "subscription", subs[0], next)
}

func storeFence(t *testing.T, s billing.Store) {
	for _, e := range []string{"e1", "e2", "e3"} {
		_, err := s.Ingest(t.Context(), event(e, "s1"))
		noError(t, err)
	}
	for _, c := range []struct {
		gen    int64
		state  billing.State
		stored bool
	}{
		{2, billing.StateActive, true},
		{1, billing.StateTrialing, false},
		{2, billing.StatePastDue, false},
		{3, billing.StateUnpaid, true},
		{4, billing.StateActive, false}, // nothing raised the generation to 4
		{0, billing.StateActive, false},
	} {
		sub := sample("s1")
		sub.State = c.state
		change, err := s.Apply(t.Context(), sub, c.gen)
		noError(t, err)
		equal(t, fmt.Sprintf("stored at generation %d", c.gen), change.Stored, c.stored)
	}
	m, err := s.Ingest(t.Context(), event("e3", "s1"))
	noError(t, err)
	equal(t, "mark", m, billing.Mark{Generation: 3, Applied: 3})
}

func storeEnded(t *testing.T, s billing.Store) {
	sub := sample("s1")
	sub.State = billing.StateCanceled
	put(t, s, "e1", sub)
	sub.State = billing.StateActive
	c := put(t, s, "e2", sub)
	equal(t, "stored", c.Stored, false)
	equal(t, "state", c.After.State, billing.StateCanceled)
	m, err := s.Ingest(t.Context(), event("e2", "s1"))
	noError(t, err)
	equal(t, "mark", m, billing.Mark{Generation: 2, Applied: 2})
	sub.State = billing.State("no such state")
	c = put(t, s, "e3", sub)
	equal(t, "an invalid state is stored", c.Stored, false)
}

func storeAdopt(t *testing.T, s billing.Store) {
	c := put(t, s, "e1", sample("s1"))
	equal(t, "tenant", c.After.Tenant, "")
	for _, tenant := range []string{"acme", ""} {
		subs, err := s.Subscriptions(t.Context(), "p", tenant)
		noError(t, err)
		equal(t, "subscriptions of nobody", len(subs), 0)
	}
	_, err := s.SaveCustomer(t.Context(), "p", "acme", "c")
	noError(t, err)
	subs, err := s.Subscriptions(t.Context(), "p", "acme")
	noError(t, err)
	equal(t, "adopted subscriptions", len(subs), 1)
	equal(t, "tenant", subs[0].Tenant, "acme")

	// A subscription that the provider moves to another customer follows it.
	_, err = s.SaveCustomer(t.Context(), "p", "globex", "c2")
	noError(t, err)
	moved := sample("s1")
	moved.Customer = "c2"
	c = put(t, s, "e2", moved)
	equal(t, "tenant", c.After.Tenant, "globex")
	subs, err = s.Subscriptions(t.Context(), "p", "acme")
	noError(t, err)
	equal(t, "subscriptions left behind", len(subs), 0)
}

// storeAdoptRace saves customers at the moment in which their subscriptions arrive: either side must see the
// other, or a subscription would be paid for and belong to nobody.
func storeAdoptRace(t *testing.T, s billing.Store) {
	for i := range 25 {
		tenant, sub := fmt.Sprintf("t%d", i), sample(fmt.Sprintf("s%d", i))
		sub.Customer = "c-" + tenant
		m, err := s.Ingest(t.Context(), event("e-"+tenant, sub.ID))
		noError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.SaveCustomer(t.Context(), "p", tenant, sub.Customer); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := s.Apply(t.Context(), sub, m.Generation); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		subs, err := s.Subscriptions(t.Context(), "p", tenant)
		noError(t, err)
		equal(t, "subscriptions of "+tenant, len(subs), 1)
	}
}

func storeApart(t *testing.T, s billing.Store) {
	for _, tenant := range []string{"acme", "globex"} {
		_, err := s.SaveCustomer(t.Context(), "p", tenant, "c-"+tenant)
		noError(t, err)
		sub := sample("s-" + tenant)
		sub.Customer = "c-" + tenant
		put(t, s, "e-"+tenant, sub)
	}
	other := sample("s-acme") // the same ids at another provider are other objects
	other.Provider, other.Customer = "q", "c-acme"
	put(t, s, "e-acme", other)
	subs, err := s.Subscriptions(t.Context(), "p", "acme")
	noError(t, err)
	if len(subs) != 1 || subs[0].ID != "s-acme" || subs[0].Provider != "p" {
		t.Errorf("acme sees %+v", subs)
	}
	subs, err = s.Subscriptions(t.Context(), "q", "acme")
	noError(t, err)
	equal(t, "subscriptions at q", len(subs), 0)
}

func storeOrder(t *testing.T, s billing.Store) {
	_, err := s.SaveCustomer(t.Context(), "p", "acme", "c")
	noError(t, err)
	for i := range 20 {
		sub := sample(fmt.Sprintf("s%02d", i))
		sub.Created = past(time.Duration(20-i) * time.Hour)
		if i >= 2 {
			sub.State = billing.StateCanceled
		}
		put(t, s, fmt.Sprintf("e%d", i), sub)
	}
	subs, err := s.Subscriptions(t.Context(), "p", "acme")
	noError(t, err)
	var got []string
	for _, sub := range subs {
		got = append(got, sub.ID)
	}
	equal(t, "order", fmt.Sprint(got), "[s01 s00 s19 s18 s17 s16 s15 s14 s13 s12 s11 s10 s09 s08 s07 s06]")
}

func storeCancel(t *testing.T, s billing.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Subscriptions(ctx, "p", "acme")
	isError(t, err, context.Canceled)
	_, err = s.Ingest(ctx, event("e1", "s1"))
	isError(t, err, context.Canceled)
	m, err := s.Ingest(t.Context(), event("e1", "s1"))
	noError(t, err)
	equal(t, "mark", m, billing.Mark{Generation: 1})
}

func storeConverge(t *testing.T, s billing.Store) {
	for seed := range uint64(4) {
		want, got := converge(t, s, seed)
		equal(t, "price after all webhooks", got, want)
	}
}

// converge changes a subscription several times while handlers race to follow it, each event delivered
// once or twice, and returns the last price at the provider and in the store. Every handler dawdles between
// fetching and applying, so without a fence an old fetch lands last for most seeds.
func converge(t *testing.T, s billing.Store, seed uint64) (want, got string) {
	rng := rand.New(rand.NewPCG(seed, 1))
	id := fmt.Sprintf("s%d", seed)
	customer, tenant := "c-"+id, "t-"+id
	_, err := s.SaveCustomer(t.Context(), "p", tenant, customer)
	noError(t, err)
	var mu sync.Mutex
	truth := sample(id)
	truth.Customer = customer
	fetch := func() billing.Subscription {
		mu.Lock()
		defer mu.Unlock()
		return truth
	}
	var wg sync.WaitGroup
	for i := range 10 {
		mu.Lock()
		truth.Price = fmt.Sprintf("price-%d", i)
		mu.Unlock()
		for range 1 + rng.IntN(2) {
			early, late := time.Duration(rng.IntN(4))*time.Millisecond, time.Duration(rng.IntN(60))*time.Millisecond
			wg.Go(func() {
				<-time.After(early)
				m, err := s.Ingest(t.Context(), event(fmt.Sprintf("e%d-%d", seed, i), id))
				if err != nil {
					t.Error(err)
					return
				}
				if m.Applied >= m.Generation {
					return
				}
				sub := fetch()
				<-time.After(late)
				if _, err := s.Apply(t.Context(), sub, m.Generation); err != nil {
					t.Error(err)
				}
			})
		}
		<-time.After(2 * time.Millisecond)
	}
	wg.Wait()
	subs, err := s.Subscriptions(t.Context(), "p", tenant)
	noError(t, err)
	if len(subs) != 1 {
		t.Fatalf("%d subscriptions", len(subs))
	}
	return truth.Price, subs[0].Price
}
