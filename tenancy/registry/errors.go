package registry

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/ashlar-go/ashlar/tenancy"
)

// Refusals that callers branch on with errors.Is. Each has a method HTTPStatus, as StateError and QuotaError have, for
// whoever answers a request with it. None of their texts holds a token, a key or an address.
var (
	// ErrUnknownTenant reports that there is no tenant of this id, slug or domain. It also matches tenancy.ErrNotFound.
	ErrUnknownTenant error = &refusal{"registry: unknown tenant", http.StatusNotFound, tenancy.ErrNotFound}

	// ErrMalformed reports an id, slug, role, permission, address, key or token that cannot be one. It is returned before
	// any I/O.
	ErrMalformed error = &refusal{"registry: malformed", http.StatusBadRequest, nil}

	// ErrTaken reports a slug, domain or id that is somebody else's, or reserved, or a user who is a member already.
	ErrTaken error = &refusal{"registry: taken or reserved", http.StatusConflict, nil}

	// ErrSuspended, ErrArchived and ErrGone are what a StateError is: the tenant exists and may not be used.
	ErrSuspended error = &refusal{"registry: tenant is suspended", http.StatusPaymentRequired, nil}
	ErrArchived  error = &refusal{"registry: tenant is archived", http.StatusForbidden, nil}
	ErrGone      error = &refusal{"registry: tenant is being deleted or was deleted", http.StatusGone, nil}

	// ErrTransition reports a change of state that the state machine does not have.
	ErrTransition error = &refusal{"registry: no such transition", http.StatusConflict, nil}

	// ErrForbidden reports that the actor of ctx may not do this to members, invitations or keys: it lacks the permission,
	// would grant or take away more than it has itself, or is nobody (see Trusted).
	ErrForbidden error = &refusal{"registry: forbidden", http.StatusForbidden, nil}

	// ErrLastOwner reports that a tenant would be left without an owner.
	ErrLastOwner error = &refusal{"registry: the last owner stays; make another member owner first", http.StatusConflict, nil}

	// ErrInvalidToken reports an API key or an invitation's token that was never issued. A wrong secret behind a right
	// prefix is the same error.
	ErrInvalidToken error = &refusal{"registry: unknown API key or invitation", http.StatusUnauthorized, nil}

	// ErrExpired and ErrRevoked report an API key or invitation that was genuine once; revoked includes used by somebody
	// else and replaced by rotation. They are told to whoever has the whole secret only.
	ErrExpired error = &refusal{"registry: API key or invitation has expired", http.StatusUnauthorized, nil}
	ErrRevoked error = &refusal{"registry: API key or invitation was used, revoked or replaced", http.StatusUnauthorized, nil}

	// ErrQuota is what a QuotaError is.
	ErrQuota error = &refusal{"registry: quota is used up", http.StatusPaymentRequired, nil}
)

// refusal is a sentinel that knows its HTTP status.
type refusal struct {
	text   string
	status int
	more   error
}

func (r *refusal) Error() string   { return r.text }
func (r *refusal) Unwrap() error   { return r.more }
func (r *refusal) HTTPStatus() int { return r.status }

// StateError says why a tenant may not be used. It matches ErrSuspended, ErrArchived or ErrGone.
type StateError struct {
	Tenant   string
	State    State
	ReadOnly bool   // suspended, but reading is allowed
	Reason   string // as given to SetState; for operators
}

// Error names the state, not the reason.
func (e *StateError) Error() string {
	text := e.Unwrap().Error()
	if e.ReadOnly {
		text += " and may only be read"
	}
	return fmt.Sprintf("%s (%s)", text, e.Tenant)
}

// Unwrap returns the sentinel of the state.
func (e *StateError) Unwrap() error {
	switch e.State {
	case Suspended:
		return ErrSuspended
	case Archived:
		return ErrArchived
	}
	return ErrGone
}

// HTTPStatus is 402 for a suspended tenant, 403 for an archived one and 410 for one that is being or was deleted.
func (e *StateError) HTTPStatus() int { return statusOf(e.Unwrap()) }

// QuotaError says how far a quota is used. It matches ErrQuota.
type QuotaError struct {
	What               string // Quota.Name, or what else the registry bounds
	Limit, Used, Asked int64
}

// Error names the quota and its figures.
func (e *QuotaError) Error() string {
	return fmt.Sprintf("registry: quota %q allows %d, %d are used, %d more were asked for", e.What, e.Limit, e.Used, e.Asked)
}

// Unwrap returns ErrQuota.
func (e *QuotaError) Unwrap() error { return ErrQuota }

// HTTPStatus is 402.
func (e *QuotaError) HTTPStatus() int { return http.StatusPaymentRequired }

func statusOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	return http.StatusInternalServerError
}
