package stripebilling

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/ashlar-go/ashlar/billing"
)

// maxSignature bounds the Stripe-Signature header: a signature is 70 bytes, and Stripe sends one per
// active secret.
const maxSignature = 4 << 10

// Event implements billing.Provider. The signature scheme is Stripe's v1:
// https://docs.stripe.com/webhooks#verify-manually.
func (p *Provider) Event(h http.Header, body []byte) (billing.Event, error) {
	if err := p.verify(h.Get("Stripe-Signature"), body); err != nil {
		return billing.Event{}, err
	}
	e, err := p.parse(body)
	if err != nil {
		return billing.Event{}, &billing.Error{Op: "stripe: read webhook", Kind: billing.ErrInvalid, Detail: "not an event envelope", Err: err}
	}
	return e, nil
}

// verify tries every secret, since during a rotation each side may know one that the other does not.
func (p *Provider) verify(signature string, body []byte) error {
	const op = "verify webhook"
	if len(p.opts.secrets()) == 0 {
		return p.fail(op, billing.ErrSignature, "Options.WebhookSecrets is empty")
	}
	if len(signature) > maxSignature {
		return p.fail(op, billing.ErrSignature, "the Stripe-Signature header is too long")
	}
	var last error
	for _, secret := range p.opts.secrets() {
		err := webhook.ValidatePayloadWithTolerance(body, signature, secret, p.opts.tolerance())
		if err == nil {
			return nil
		}
		if last == nil || errors.Is(err, webhook.ErrTooOld) {
			last = err
		}
	}
	e := p.fail(op, billing.ErrSignature, last.Error()) // the SDK's four fixed texts
	e.Err = last
	return e
}

// envelope is what all API versions' events have in common. Data.Object is looked at for ids only.
type envelope struct {
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Created  json.RawMessage `json:"created"` // Unix seconds, or RFC 3339 in API v2
	Livemode *bool           `json:"livemode"`
	Account  string          `json:"account"` // set on events of connected accounts
	Data     struct {
		Object json.RawMessage `json:"object"`
	} `json:"data"`
}

func (p *Provider) parse(body []byte) (billing.Event, error) {
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil {
		return billing.Event{}, err
	}
	if env.ID == "" || env.Type == "" {
		return billing.Event{}, errors.New("no id or type")
	}
	e := billing.Event{ID: env.ID, Type: env.Type, At: created(env.Created)}
	if env.Account != "" || env.Livemode != nil && *env.Livemode != p.live {
		return e, nil
	}
	if id := subscriptionOf(env.Data.Object); id != "" {
		e.Kind, e.Object = billing.KindSubscription, id
	}
	return e, nil
}

// subscriptionOf finds which subscription an object is or belongs to. Invoices moved the id into "parent" with
// API version 2025-03-31.
func subscriptionOf(raw json.RawMessage) string {
	var head struct {
		ID           string          `json:"id"`
		Object       string          `json:"object"`
		Subscription json.RawMessage `json:"subscription"`
		Parent       json.RawMessage `json:"parent"`
	}
	if json.Unmarshal(raw, &head) != nil {
		return ""
	}
	switch head.Object {
	case "subscription":
		return head.ID
	case "checkout.session":
		return ref(head.Subscription)
	case "invoice":
		if id := ref(head.Subscription); id != "" {
			return id
		}
		var parent struct {
			Details struct {
				Subscription json.RawMessage `json:"subscription"`
			} `json:"subscription_details"`
		}
		if json.Unmarshal(head.Parent, &parent) == nil {
			return ref(parent.Details.Subscription)
		}
	}
	return ""
}

// ref reads a reference: an id, or the expanded object.
func ref(raw json.RawMessage) string {
	var id string
	if json.Unmarshal(raw, &id) == nil {
		return id
	}
	var object struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(raw, &object) == nil {
		return object.ID
	}
	return ""
}

func created(raw json.RawMessage) time.Time {
	var unix int64
	if json.Unmarshal(raw, &unix) == nil && unix > 0 && unix < 1<<35 { // before the year 3059: databases must hold it
		return time.Unix(unix, 0).UTC()
	}
	var t time.Time
	if json.Unmarshal(raw, &t) == nil {
		return t.UTC()
	}
	return time.Time{}
}
