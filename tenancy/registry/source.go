package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
)

// The kinds of references that are no kinds of names.
const (
	kindID     = "id"
	kindSecret = "secret" // the hash of an API key's text
)

// Source is one way in which a request may name its tenant. It is a small value, made by one of the By functions and given
// to Registry.Resolver.
type Source struct {
	name string // for people: "subdomain"
	kind string // of the reference that it finds
	host bool   // needs the host of the request
	apex string
	find func(v *Resolver, r *http.Request, host string) (name string, err error) // "" when the request does not say
}

// BySubdomain takes the label before apex as the tenant's slug: with "example.com", acme.example.com is the tenant acme.
// The apex itself and reserved slugs (www, api, …) name no tenant; deeper names below the apex are ErrUnknownTenant.
// The apex may be a single label, for development. BySubdomain panics if it is no host name.
func BySubdomain(apex string) Source {
	_, err := ParseHost("x." + apex)
	if err != nil {
		panic(fmt.Sprintf("registry: BySubdomain(%q): %v", apex, err))
	}
	apex = strings.ToLower(strings.TrimSuffix(apex, "."))
	return Source{name: "subdomain", kind: kindSlug, host: true, apex: apex, find: func(v *Resolver, _ *http.Request, host string) (string, error) {
		label, ok := under(host, apex)
		switch {
		case !ok || v.reserved[label]:
			return "", nil
		case strings.Contains(label, "."):
			return "", ErrUnknownTenant
		}
		return label, nil
	}}
}

// ByDomain takes the host as a custom domain, verified by Domains. The apex of each BySubdomain, what is below it, and
// ResolverOptions.Hosts are the program's own and name no tenant; every other host does, or is ErrUnknownTenant.
func ByDomain() Source {
	return Source{name: "domain", kind: kindDomain, host: true, find: func(v *Resolver, _ *http.Request, host string) (string, error) {
		if v.own(host) {
			return "", nil
		}
		return host, nil
	}}
}

// ByPath takes the path segment after prefix as the tenant's slug: with "/t/", /t/acme/notes is the tenant acme.
// It leaves the path as it is. ByPath panics if prefix does not begin and end with a slash.
func ByPath(prefix string) Source {
	if prefix == "" || prefix[0] != '/' || prefix[len(prefix)-1] != '/' {
		panic(fmt.Sprintf("registry: ByPath(%q): want a prefix between slashes", prefix))
	}
	return Source{name: "path", kind: kindSlug, find: func(_ *Resolver, r *http.Request, _ string) (string, error) {
		rest, ok := strings.CutPrefix(r.URL.Path, prefix)
		if !ok {
			return "", nil
		}
		slug, _, _ := strings.Cut(rest, "/")
		return slug, nil
	}}
}

// ByHeader takes the value of a request header as the tenant's slug. Anybody can send a header: like all sources but ByAPIKey
// and ByClaim, it says which tenant is meant, not that the caller may use it.
func ByHeader(name string) Source {
	name = textproto.CanonicalMIMEHeaderKey(name)
	return Source{name: "header", kind: kindSlug, find: func(_ *Resolver, r *http.Request, _ string) (string, error) {
		return single(r.Header[name])
	}}
}

// ByAPIKey takes the tenant to whom the API key in "Authorization: Bearer sk_…" belongs. Other tokens are left to others.
// The context of Resolve then has the key: see KeyFrom.
func ByAPIKey() Source {
	return Source{name: "API key", kind: kindSecret, find: func(_ *Resolver, r *http.Request, _ string) (string, error) {
		value, err := single(r.Header["Authorization"])
		if err != nil {
			return "", err
		}
		const scheme = "bearer "
		if len(value) <= len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
			return "", nil
		}
		if value = strings.TrimLeft(value[len(scheme):], " "); !strings.HasPrefix(value, "sk_") {
			return "", nil
		}
		return value, nil
	}}
}

// ByClaim takes the tenant's id from a verified credential that is in the request's context already, e.g. a session or a
// claim of a token; claim returns false when there is none.
func ByClaim(claim func(context.Context) (id string, ok bool)) Source {
	return Source{name: "claim", kind: kindID, find: func(_ *Resolver, r *http.Request, _ string) (string, error) {
		id, ok := claim(r.Context())
		switch {
		case !ok:
			return "", nil
		case !idForm.MatchString(id):
			return "", ErrUnknownTenant
		}
		return id, nil
	}}
}

// single refuses a header that is there several times: two readers would take two different ones.
func single(values []string) (string, error) {
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", fmt.Errorf("%w request: a header that names the tenant is there %d times", ErrMalformed, len(values))
}

type keyKey struct{}

// KeyFrom returns the API key by which Resolver.Resolve found the tenant; ask its Can before acting.
func KeyFrom(ctx context.Context) (key APIKey, ok bool) {
	k, ok := ctx.Value(keyKey{}).(*APIKey)
	if !ok {
		return APIKey{}, false
	}
	return *k, true
}

// ErrConflict reports a request that names two tenants, e.g. one by its host and another one by its API key.
var ErrConflict error = &refusal{"registry: the request names two tenants", http.StatusForbidden, nil}

// ConflictError says by which sources. It matches ErrConflict.
type ConflictError struct {
	First, Second string // names of the sources: "subdomain", "domain", "path", "header", "API key", "claim"
	host          bool
}

// Error names the sources, not the tenants: the caller may know one of them only.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: by %s and by %s", ErrConflict, e.First, e.Second)
}

// Unwrap returns ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// HTTPStatus is 421 (Misdirected Request) when one of them is the host, else 403.
func (e *ConflictError) HTTPStatus() int {
	if e.host {
		return http.StatusMisdirectedRequest
	}
	return http.StatusForbidden
}

var _ error = (*ConflictError)(nil)

// actorOf is the actor of ctx with a key in the place of nobody.
func actorOf(ctx context.Context, key *APIKey) tenancy.Actor {
	a, _ := tenancy.ActorFrom(ctx)
	if a.ID == "" {
		a.ID = key.Actor().ID
	}
	return a
}
