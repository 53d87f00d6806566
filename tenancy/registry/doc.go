// Package registry is the directory of tenants: their states, slugs, members, invitations, API keys, settings, feature flags
// and quotas.
//
// # Usage
//
//	reg, err := registry.New(db, nil)
//
// # Consistency
//
// Every change is one unit of work: the rows, an event and an audit entry commit together or not at all.
//
// # Tenancy
//
// Methods act for the tenant of ctx. The questions that come before a tenant is known go through two functions of the
// database that answer one exact key each; they need no system role.
//
// # Errors
//
// ErrUnknownTenant, ErrMalformed, ErrTaken, ErrTransition, ErrForbidden, *StateError.
//
// # Concurrency
//
// A Registry is safe for concurrent use.
package registry
