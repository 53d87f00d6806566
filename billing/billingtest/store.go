package billingtest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ashlar-go/ashlar/billing"
)

// Store is a billing.Store in memory. Make one with [NewStore]; it is safe for concurrent use.
type Store struct {
	mu        sync.Mutex
	customers map[[2]string]string // provider, tenant: customer
	tenants   map[[2]string]string // provider, customer: tenant
	events    map[[2]string]bool
	marks     map[[3]string]billing.Mark
	subs      map[[2]string]billing.Subscription
	fault     func(ctx context.Context, method string) error
}

var _ billing.Store = (*Store)(nil)

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		customers: map[[2]string]string{}, tenants: map[[2]string]string{}, events: map[[2]string]bool{},
		marks: map[[3]string]billing.Mark{}, subs: map[[2]string]billing.Subscription{},
	}
}

// SetFault installs f, which runs before each method, gets its name ("Apply") and fails it by returning
// an error. It may block to delay. Nil removes it.
func (s *Store) SetFault(f func(ctx context.Context, method string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// enter runs the fault and returns with the lock held if there is no error.
func (s *Store) enter(ctx context.Context, method string) error {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if fault != nil {
		if err := fault(ctx, method); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	return nil
}

// Customer implements billing.Store.
func (s *Store) Customer(ctx context.Context, provider, tenant string) (string, error) {
	if err := s.enter(ctx, "Customer"); err != nil {
		return "", err
	}
	defer s.mu.Unlock()
	id, ok := s.customers[[2]string{provider, tenant}]
	if !ok {
		return "", fmt.Errorf("billingtest: customer: %w", billing.ErrNotFound)
	}
	return id, nil
}

// SaveCustomer implements billing.Store.
func (s *Store) SaveCustomer(ctx context.Context, provider, tenant, id string) (string, error) {
	if err := s.enter(ctx, "SaveCustomer"); err != nil {
		return "", err
	}
	defer s.mu.Unlock()
	if bound, ok := s.customers[[2]string{provider, tenant}]; ok {
		return bound, nil
	}
	if _, ok := s.tenants[[2]string{provider, id}]; ok {
		return "", fmt.Errorf("billingtest: the customer is another tenant's: %w", billing.ErrConflict)
	}
	s.customers[[2]string{provider, tenant}] = id
	s.tenants[[2]string{provider, id}] = tenant
	for k, sub := range s.subs {
		if sub.Provider == provider && sub.Customer == id {
			sub.Tenant = tenant
			s.subs[k] = sub
		}
	}
	return id, nil
}

// Ingest implements billing.Store.
func (s *Store) Ingest(ctx context.Context, e billing.Event) (billing.Mark, error) {
	if err := s.enter(ctx, "Ingest"); err != nil {
		return billing.Mark{}, err
	}
	defer s.mu.Unlock()
	k := [3]string{e.Provider, e.Kind, e.Object}
	m := s.marks[k]
	if event := [2]string{e.Provider, e.ID}; !s.events[event] {
		s.events[event] = true
		m.Generation++
		s.marks[k] = m
	}
	return m, nil
}

// Apply implements billing.Store.
func (s *Store) Apply(ctx context.Context, sub billing.Subscription, gen int64) (billing.Change, error) {
	if err := s.enter(ctx, "Apply"); err != nil {
		return billing.Change{}, err
	}
	defer s.mu.Unlock()
	k := [2]string{sub.Provider, sub.ID}
	before := s.subs[k]
	c := billing.Change{Before: before, After: before}
	mk := [3]string{sub.Provider, billing.KindSubscription, sub.ID}
	m := s.marks[mk]
	if gen <= m.Applied || gen > m.Generation {
		return c, nil
	}
	m.Applied = gen
	s.marks[mk] = m
	if !before.State.CanBecome(sub.State) {
		return c, nil
	}
	sub.Tenant = s.tenants[[2]string{sub.Provider, sub.Customer}]
	s.subs[k] = sub
	c.After, c.Stored = sub, true
	return c, nil
}

// Subscriptions implements billing.Store.
func (s *Store) Subscriptions(ctx context.Context, provider, tenant string) ([]billing.Subscription, error) {
	if err := s.enter(ctx, "Subscriptions"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var subs []billing.Subscription
	for _, sub := range s.subs {
		if sub.Provider == provider && sub.Tenant == tenant && tenant != "" {
			subs = append(subs, sub)
		}
	}
	slices.SortFunc(subs, func(a, b billing.Subscription) int {
		if a.State.Ended() != b.State.Ended() {
			if a.State.Ended() {
				return 1
			}
			return -1
		}
		return b.Created.Compare(a.Created)
	})
	return subs[:min(len(subs), 16)], nil
}
