package billing

import (
	"errors"
	"fmt"
	"net/http"
)

// Why [Billing.Can] denies: [Decision].Reason is one of these, and [Decision.Err] wraps it.
var (
	// ErrLimit: the feature is part of the plan, and the amount asked for exceeds what is left of it.
	ErrLimit = errors.New("billing: plan limit reached")
	// ErrNotIncluded: the plan in force does not have the feature.
	ErrNotIncluded = errors.New("billing: feature not in plan")
	// ErrPaymentRequired: the subscribed plan would allow it, but the subscription awaits a payment.
	ErrPaymentRequired = errors.New("billing: payment required")
	// ErrUnknownFeature: the catalogue declares no such feature; a typing error in the program.
	ErrUnknownFeature = errors.New("billing: unknown feature")
)

// Conditions of the other calls.
var (
	// ErrNoTenant: Options.Tenant is set and the context has no tenant.
	ErrNoTenant = errors.New("billing: no tenant in context")
	// ErrUnknownPlan: the catalogue has no plan, or no price of it, as requested.
	ErrUnknownPlan = errors.New("billing: unknown plan or price")
	// ErrAlreadySubscribed: the tenant has a live subscription; change it through the portal instead of
	// buying a second one.
	ErrAlreadySubscribed = errors.New("billing: already subscribed")
)

// What a provider or a store may answer: the values of [Error].Kind. Stores return them wrapped.
var (
	// ErrInvalid: the request is wrong and stays wrong.
	ErrInvalid = errors.New("billing: invalid request")
	// ErrAuth: the provider refuses the key or its permissions.
	ErrAuth = errors.New("billing: provider refused the credentials")
	// ErrNotFound: no such object.
	ErrNotFound = errors.New("billing: not found")
	// ErrConflict: the object or idempotency key is in use for something else.
	ErrConflict = errors.New("billing: conflict")
	// ErrRateLimited: too many requests; wait.
	ErrRateLimited = errors.New("billing: provider rate limit")
	// ErrUnavailable: no usable answer. Whether the request took effect is unknown.
	ErrUnavailable = errors.New("billing: unavailable")
	// ErrSignature: a webhook is not from the provider, or is a replay.
	ErrSignature = errors.New("billing: webhook signature refused")
)

// Error is a failed call of a [Provider]. Its text never holds a secret or personal data, which the
// text of Err may do: log the Error, not what it wraps.
type Error struct {
	Op        string // what was tried: "stripe: create checkout session"
	Kind      error  // ErrInvalid, ErrAuth, ErrNotFound, ErrConflict, ErrRateLimited, ErrUnavailable or ErrSignature
	Detail    string // safe to show operators: status, code, parameter, request id; may be empty
	Retryable bool   // the same call with the same idempotency key may succeed later
	Err       error  // the SDK's or the network's error; may be nil
}

// Error names the operation, the kind and the detail.
func (e *Error) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Kind)
	}
	return fmt.Sprintf("%s: %v (%s)", e.Op, e.Kind, e.Detail)
}

// Unwrap gives the sentinel and the underlying error.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, 2)
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// HTTPStatus is what to answer an end user whose request failed with this: 503 if trying again later
// may help, 502 otherwise, since the user is not to blame.
func (e *Error) HTTPStatus() int {
	if e.Retryable {
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}

// DeniedError is a denying [Decision] as an error.
type DeniedError struct {
	Decision Decision
	cause    error // of ErrUnavailable; may be nil
}

// Error says what was denied, on which plan, and which plan would allow it.
func (e *DeniedError) Error() string {
	d := e.Decision
	text := fmt.Sprintf("%v: %q", d.Reason, d.Feature)
	if d.Plan != "" {
		text += fmt.Sprintf(" on plan %q", d.Plan)
	}
	if errors.Is(d.Reason, ErrLimit) {
		text += fmt.Sprintf(", %d of %d used", d.Used, d.Limit)
	}
	if d.Upgrade != "" {
		text += fmt.Sprintf("; plan %q allows it", d.Upgrade)
	}
	return text
}

// Unwrap gives Decision.Reason and, for ErrUnavailable, what failed.
func (e *DeniedError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Decision.Reason}
	}
	return []error{e.Decision.Reason, e.cause}
}

// HTTPStatus is 402 where paying helps (an unpaid subscription, or a plan for sale that allows it),
// 503 where nobody knows, 500 for an undeclared feature, and 403 otherwise.
func (e *DeniedError) HTTPStatus() int {
	d := e.Decision
	switch {
	case errors.Is(d.Reason, ErrPaymentRequired), d.Upgrade != "":
		return http.StatusPaymentRequired
	case errors.Is(d.Reason, ErrUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(d.Reason, ErrUnknownFeature), errors.Is(d.Reason, ErrInvalid):
		return http.StatusInternalServerError
	}
	return http.StatusForbidden
}
