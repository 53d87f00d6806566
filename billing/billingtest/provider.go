package billingtest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/billing"
)

// Provider is a payment provider in memory. Make one with [NewProvider]; it is safe for concurrent use.
type Provider struct {
	opts   ProviderOptions
	secret []byte

	mu        sync.Mutex
	customers map[string]bool
	sessions  map[string]*checkout
	subs      map[string]*billing.Subscription
	answers   map[string]answer // by idempotency key
	queue     []Delivery
	webhook   http.Handler
	fault     func(context.Context, Call) error
}

var _ billing.Provider = (*Provider)(nil)

// ProviderOptions of [NewProvider]. Nil means all defaults.
type ProviderOptions struct {
	Name string // empty means "fake"
	// URL is where the Provider is mounted as an http.Handler: the hosted pages' address without a
	// trailing slash. Empty means "https://fake.invalid".
	URL string
	// ReturnURL is where buyers go when a request names no URL. Empty: such requests are ErrInvalid,
	// as at Stripe.
	ReturnURL string
}

// Call is a call of the Provider as a fault sees it.
type Call struct {
	Op   string // "customer", "checkout", "portal" or "subscription"
	Done bool   // false: before it takes effect; true: it took effect and the answer is on its way
}

// Delivery is a signed webhook.
type Delivery struct {
	Header http.Header
	Body   []byte
}

type checkout struct {
	spec billing.CheckoutSpec
	sub  string // set once completed
}

type answer struct {
	request string
	session billing.Session
	id      string
}

// NewProvider returns an empty provider.
func NewProvider(opts *ProviderOptions) *Provider {
	p := &Provider{
		secret: []byte(rand.Text()), customers: map[string]bool{}, sessions: map[string]*checkout{},
		subs: map[string]*billing.Subscription{}, answers: map[string]answer{},
	}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Name == "" {
		p.opts.Name = "fake"
	}
	if p.opts.URL == "" {
		p.opts.URL = "https://fake.invalid"
	}
	return p
}

// SetFault installs f, which runs twice per call: before it takes effect and after. What it returns
// fails the call, so an error at Done is a lost answer; it may block to delay. Nil removes it.
func (p *Provider) SetFault(f func(context.Context, Call) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Down makes every call fail with billing.ErrUnavailable, or ends that.
func (p *Provider) Down(down bool) {
	if !down {
		p.SetFault(nil)
		return
	}
	p.SetFault(func(_ context.Context, c Call) error {
		return &billing.Error{Op: p.opts.Name + ": " + c.Op, Kind: billing.ErrUnavailable, Detail: "the fake is down", Retryable: true}
	})
}

// call runs f under the lock between the two fault points.
func (p *Provider) call(ctx context.Context, op string, f func() error) error {
	hook := func(done bool) error {
		p.mu.Lock()
		fault := p.fault
		p.mu.Unlock()
		if fault != nil {
			if err := fault(ctx, Call{Op: op, Done: done}); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return p.fail(op, billing.ErrUnavailable, "context ended", err)
		}
		return nil
	}
	if err := hook(false); err != nil {
		return err
	}
	p.mu.Lock()
	err := f()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return hook(true)
}

func (p *Provider) fail(op string, kind error, detail string, err error) error {
	return &billing.Error{Op: p.opts.Name + ": " + op, Kind: kind, Detail: detail, Err: err}
}

// once answers a repeated key from memory; make runs for a new one.
func (p *Provider) once(op, key string, request any, make func() (answer, error)) (answer, error) {
	text := fmt.Sprintf("%s %#v", op, request)
	if a, ok := p.answers[key]; ok {
		if a.request != text {
			return answer{}, p.fail(op, billing.ErrConflict, "idempotency key used for another request", nil)
		}
		return a, nil
	}
	a, err := make()
	if err == nil && key != "" {
		a.request = text
		p.answers[key] = a
	}
	return a, err
}

// Name implements billing.Provider.
func (p *Provider) Name() string { return p.opts.Name }

// customerPrefix marks ids that carry their tenant, so that a restarted program may still use the
// customers that its store remembers.
const customerPrefix = "cus_fake_"

// Customer implements billing.Provider.
func (p *Provider) Customer(ctx context.Context, spec billing.CustomerSpec) (id string, err error) {
	err = p.call(ctx, "customer", func() error {
		a, err := p.once("customer", spec.Key, spec, func() (answer, error) {
			id := customerPrefix + hex.EncodeToString([]byte(spec.Tenant))
			p.customers[id] = true
			return answer{id: id}, nil
		})
		id = a.id
		return err
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// Checkout implements billing.Provider. Any price is for sale.
func (p *Provider) Checkout(ctx context.Context, spec billing.CheckoutSpec) (s billing.Session, err error) {
	err = p.call(ctx, "checkout", func() error {
		a, err := p.once("checkout", spec.Key, spec, func() (answer, error) {
			if spec.SuccessURL == "" {
				spec.SuccessURL = p.opts.ReturnURL
			}
			if spec.CancelURL == "" {
				spec.CancelURL = p.opts.ReturnURL
			}
			switch {
			case !p.knows(spec.Customer):
				return answer{}, p.fail("checkout", billing.ErrNotFound, "no such customer", nil)
			case spec.SuccessURL == "":
				return answer{}, p.fail("checkout", billing.ErrInvalid, "no return address: set CheckoutRequest.SuccessURL or ProviderOptions.ReturnURL", nil)
			}
			id := "cs_fake_" + rand.Text()
			p.sessions[id] = &checkout{spec: spec}
			return answer{session: billing.Session{ID: id, URL: p.opts.URL + "/checkout/" + id}}, nil
		})
		s = a.session
		return err
	})
	if err != nil {
		return billing.Session{}, err
	}
	return s, nil
}

func (p *Provider) knows(customer string) bool {
	return p.customers[customer] || strings.HasPrefix(customer, customerPrefix)
}

// Portal implements billing.Provider.
func (p *Provider) Portal(ctx context.Context, spec billing.PortalSpec) (s billing.Session, err error) {
	err = p.call(ctx, "portal", func() error {
		if !p.knows(spec.Customer) {
			return p.fail("portal", billing.ErrNotFound, "no such customer", nil)
		}
		id := "bps_fake_" + rand.Text()
		s = billing.Session{ID: id, URL: p.opts.URL + "/portal/" + id}
		return nil
	})
	if err != nil {
		return billing.Session{}, err
	}
	return s, nil
}

// Subscription implements billing.Provider.
func (p *Provider) Subscription(ctx context.Context, id string) (s billing.Subscription, err error) {
	err = p.call(ctx, "subscription", func() error {
		sub := p.subs[id]
		if sub == nil {
			return p.fail("subscription", billing.ErrNotFound, "no such subscription", nil)
		}
		s = *sub
		return nil
	})
	if err != nil {
		return billing.Subscription{}, err
	}
	return s, nil
}

// Complete pays an open checkout and returns the id of the new subscription. Paying twice returns
// the same one. An error beside an id means that the connected handler refused the webhook: the
// subscription exists, and [Provider.Deliver] tries again.
func (p *Provider) Complete(session string) (subscription string, err error) {
	p.mu.Lock()
	c := p.sessions[session]
	if c == nil || c.sub != "" {
		defer p.mu.Unlock()
		if c == nil {
			return "", p.fail("complete", billing.ErrNotFound, "no such session", nil)
		}
		return c.sub, nil
	}
	now := time.Now().UTC().Truncate(time.Second)
	s := &billing.Subscription{
		Provider: p.opts.Name, ID: "sub_fake_" + rand.Text(), Customer: c.spec.Customer, State: billing.StateActive,
		Plan: c.spec.Plan, Price: c.spec.Price.Key, Created: now, PeriodEnd: now.AddDate(0, 1, 0),
	}
	if c.spec.Price.Interval == billing.Yearly {
		s.PeriodEnd = now.AddDate(1, 0, 0)
	}
	if c.spec.TrialDays > 0 {
		s.State, s.TrialEnd = billing.StateTrialing, now.AddDate(0, 0, c.spec.TrialDays)
		s.PeriodEnd = s.TrialEnd
	}
	c.sub = s.ID
	p.subs[s.ID] = s
	p.emit("subscription.created", s.ID)
	p.emit("checkout.completed", s.ID)
	p.mu.Unlock()
	return s.ID, p.Deliver()
}

// Update changes a subscription as the provider would, for example its State, and queues the webhook.
func (p *Provider) Update(subscription string, change func(*billing.Subscription)) error {
	p.mu.Lock()
	s := p.subs[subscription]
	if s == nil {
		p.mu.Unlock()
		return p.fail("update", billing.ErrNotFound, "no such subscription", nil)
	}
	change(s)
	p.emit("subscription.updated", s.ID)
	p.mu.Unlock()
	return p.Deliver()
}

// SetState is Update of the state alone.
func (p *Provider) SetState(subscription string, state billing.State) error {
	return p.Update(subscription, func(s *billing.Subscription) { s.State = state })
}

// Truth returns all subscriptions by id, as the provider has them.
func (p *Provider) Truth() map[string]billing.Subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]billing.Subscription, len(p.subs))
	for id, s := range maps.All(p.subs) {
		all[id] = *s
	}
	return all
}

// Connect makes the Provider deliver webhooks to h as they happen, in the goroutine that caused them.
// What h does not accept stays queued for [Provider.Deliver].
func (p *Provider) Connect(h http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.webhook = h
}

// Deliver sends all queued webhooks in order to the connected handler. Those it refuses stay queued, and
// the first refusal is returned. Without a connected handler it does nothing.
func (p *Provider) Deliver() error {
	p.mu.Lock()
	h := p.webhook
	p.mu.Unlock()
	if h == nil {
		return nil
	}
	var refused []Delivery
	var err error
	for _, d := range p.Deliveries() {
		if status := d.Send(h); status/100 != 2 {
			refused = append(refused, d)
			if err == nil {
				err = fmt.Errorf("billingtest: the webhook handler answered %d", status)
			}
		}
	}
	p.mu.Lock()
	p.queue = append(refused, p.queue...)
	p.mu.Unlock()
	return err
}

// Deliveries takes all queued webhooks out of the queue, to be sent in any order and number.
func (p *Provider) Deliveries() []Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queue
	p.queue = nil
	return q
}

// Send posts the webhook to h and returns the status.
func (d Delivery) Send(h http.Handler) int {
	r := httptest.NewRequest(http.MethodPost, "/webhooks", strings.NewReader(string(d.Body)))
	r.Header = d.Header.Clone()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// SignatureHeader carries "<unix seconds>.<hex HMAC-SHA256 of that, '.', and the body>".
const SignatureHeader = "Fake-Signature"

type envelope struct {
	ID, Type, Subscription string
	At                     time.Time
}

func (p *Provider) emit(typ, sub string) {
	body, err := json.Marshal(envelope{ID: "evt_fake_" + rand.Text(), Type: typ, Subscription: sub, At: time.Now().UTC()})
	if err != nil {
		panic(err) // a struct of strings and a time
	}
	p.queue = append(p.queue, p.Sign(time.Now(), body))
}

// Sign signs any body as the provider would at a time.
func (p *Provider) Sign(at time.Time, body []byte) Delivery {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return Delivery{Header: http.Header{SignatureHeader: {stamp + "." + p.mac(stamp, body)}}, Body: slices.Clone(body)}
}

func (p *Provider) mac(stamp string, body []byte) string {
	h := hmac.New(sha256.New, p.secret)
	h.Write([]byte(stamp + "."))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// Event implements billing.Provider. Signatures expire after five minutes.
func (p *Provider) Event(header http.Header, body []byte) (billing.Event, error) {
	stamp, sum, _ := strings.Cut(header.Get(SignatureHeader), ".")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || !hmac.Equal([]byte(sum), []byte(p.mac(stamp, body))) {
		return billing.Event{}, p.fail("webhook", billing.ErrSignature, "", nil)
	}
	if time.Since(time.Unix(seconds, 0)) > 5*time.Minute {
		return billing.Event{}, p.fail("webhook", billing.ErrSignature, "older than five minutes", nil)
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return billing.Event{}, p.fail("webhook", billing.ErrInvalid, "not an event", err)
	}
	event := billing.Event{ID: e.ID, Type: e.Type, At: e.At}
	if e.Subscription != "" {
		event.Kind, event.Object = billing.KindSubscription, e.Subscription
	}
	return event, nil
}
