package registry

import (
	"errors"
	"fmt"
	"net/http"
)

// Refusals that callers branch on with errors.Is. None of their texts holds a token, a key or an address.
var (
	// ErrUnknownTenant reports that there is no tenant of this id, slug or domain.
	ErrUnknownTenant = errors.New("registry: unknown tenant")

	// ErrMalformed reports an id, slug, role, e-mail address or name that cannot be one. It is returned before any I/O.
	ErrMalformed = errors.New("registry: malformed")

	// ErrTaken reports a slug, domain or id that is somebody else's, or reserved.
	ErrTaken = errors.New("registry: taken or reserved")

	// ErrSuspended, ErrArchived and ErrGone are what a StateError is: the tenant exists and may not be used.
	ErrSuspended = errors.New("registry: tenant is suspended")
	ErrArchived  = errors.New("registry: tenant is archived")
	ErrGone      = errors.New("registry: tenant is being deleted or was deleted")

	// ErrTransition reports a change of state that the state machine does not have.
	ErrTransition = errors.New("registry: no such transition")

	// ErrForbidden reports that the acting member may not grant, or take away, what it does not have itself.
	ErrForbidden = errors.New("registry: forbidden")
)

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
func (e *StateError) HTTPStatus() int {
	switch e.State {
	case Suspended:
		return http.StatusPaymentRequired
	case Archived:
		return http.StatusForbidden
	}
	return http.StatusGone
}
