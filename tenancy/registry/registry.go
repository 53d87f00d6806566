package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/ashlar-go/ashlar/tenancy"
)

// Registry is the directory of tenants. It is made by New, has no state of its own, and is safe for concurrent use.
//
// Its methods act for the tenant of ctx (tenancy.WithID), in the open unit of work of ctx if there is one, else in a unit of
// their own. Exceptions say so: Create makes a tenant, the lookups find one.
type Registry struct {
	db    *tenancy.DB
	opts  Options
	roles map[string][]string
}

// Options configures a Registry. A nil *Options and the zero value mean the defaults.
type Options struct {
	// Roles are the roles of members, each with its permissions; see Member.Can for their form. A program that sets it lists
	// all roles, Owner among them. Nil means owner and admin with "*", and member with "read".
	Roles map[string][]string

	// Reserved are slugs that no tenant gets, besides www, api, admin and others that a reader would take for the operator's.
	// Nil means no others.
	Reserved []string

	// KeyEnv is the second word of API keys: 1 to 12 lower-case letters or digits. Keys of another environment are refused
	// before any I/O. Empty means "live".
	KeyEnv string

	// Support tells whether an actor is support staff that may act as members of tenants; its error is the refusal. It is
	// asked by Impersonate and Redeem and by each ActAs, so that a session ends with the rights of who has it; there the
	// actor has the person's ID and what else the context knows. Nil means that nobody is.
	Support func(ctx context.Context, actor tenancy.Actor) error
}

var envForm = regexp.MustCompile(`^[a-z0-9]{1,12}$`)

// New returns a registry on db, whose database has Migrations applied; db places no tenants in other databases. It does no I/O. The options are copied.
func New(db *tenancy.DB, opts *Options) (*Registry, error) {
	if db == nil {
		return nil, errors.New("registry: New needs a DB")
	}
	r := &Registry{db: db, roles: defaultRoles()}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.Roles != nil {
		r.roles = map[string][]string{}
		for role, permissions := range r.opts.Roles {
			r.roles[role] = slices.Clone(permissions)
		}
	}
	if err := checkRoles(r.roles); err != nil {
		return nil, err
	}
	for _, slug := range r.opts.Reserved {
		if folded, err := foldSlug(slug); err != nil || folded != slug {
			return nil, fmt.Errorf("registry: Options.Reserved: %q is no lower-case slug", slug)
		}
	}
	r.opts.Reserved = slices.Clone(r.opts.Reserved)
	if r.opts.KeyEnv == "" {
		r.opts.KeyEnv = "live"
	}
	if !envForm.MatchString(r.opts.KeyEnv) {
		return nil, fmt.Errorf("registry: Options.KeyEnv %q: want 1 to 12 lower-case letters or digits", r.opts.KeyEnv)
	}
	return r, nil
}
