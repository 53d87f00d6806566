package registry

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
)

// Resolver finds the tenant of HTTP requests. It is made by Registry.Resolver, starts no goroutine, and is safe for
// concurrent use.
type Resolver struct {
	reg      *Registry
	sources  []Source
	opts     ResolverOptions
	hosts    map[string]bool // own ones
	reserved map[string]bool // slugs that no tenant can have
	cache    *lookups[found]
}

// ResolverOptions configures a Resolver. A nil *ResolverOptions and the zero value mean the defaults.
type ResolverOptions struct {
	// Hosts are hosts of the program's own, for ByDomain: they name no tenant. Nil means those of BySubdomain only.
	Hosts []string

	// TrustedProxies are the networks whose X-Forwarded-Host is believed in place of Host. Nil means that nobody's is.
	TrustedProxies []netip.Prefix

	// TTL is how long a tenant is remembered, and so how long a change of state, a revoked key or a lost domain can go
	// unnoticed by a process that is not told (see Invalidate). Zero means 15 seconds. Negative means that each request asks.
	TTL time.Duration

	// NegativeTTL is the same for names that do not exist. Zero means 5 seconds. Negative means that they are not remembered.
	NegativeTTL time.Duration

	// Size is how many names are remembered, and how many that do not exist. Zero or negative means 10000.
	Size int

	// Shared is a second level for look-ups by name, e.g. a cache.Hub's Shared(); API keys stay in the process. What it has
	// is remembered for the rest of its TTL, by the time stored that it answers; without that time it is not remembered here.
	// Nil means none.
	Shared interface {
		GetOrLoad(ctx context.Context, key string, fresh, stale time.Duration, tags []string,
			load func(context.Context) ([]byte, error)) (val []byte, stored time.Time, status string, err error)
		InvalidateTags(ctx context.Context, tags ...string) error
	}
}

// sharedTag is on everything in the shared cache: changes are rare, and which names lead to a tenant is not known to who
// changes it.
const sharedTag = "registry"

// found is what a reference leads to.
type found struct {
	Ref
	key *APIKey
}

// Resolver returns a resolver that asks the sources in this order. All of them are asked, and all that answer must name the
// same tenant. Source and option values that cannot work are errors.
func (r *Registry) Resolver(opts *ResolverOptions, sources ...Source) (*Resolver, error) {
	if len(sources) == 0 {
		return nil, errors.New("registry: Resolver needs a source")
	}
	v := &Resolver{reg: r, sources: slices.Clone(sources), hosts: map[string]bool{}, reserved: map[string]bool{}}
	for _, slug := range slices.Concat(reserved, r.opts.Reserved) {
		v.reserved[slug] = true
	}
	if opts != nil {
		v.opts = *opts
	}
	o := &v.opts
	if o.TTL == 0 {
		o.TTL = 15 * time.Second
	}
	if o.NegativeTTL == 0 {
		o.NegativeTTL = 5 * time.Second
	}
	if o.Size <= 0 {
		o.Size = 10_000
	}
	for _, s := range sources {
		if s.find == nil {
			return nil, errors.New("registry: Resolver: a source is its zero value")
		}
	}
	for _, h := range o.Hosts {
		host, err := ParseHost(h)
		if err != nil {
			return nil, fmt.Errorf("registry: ResolverOptions.Hosts: %w", err)
		}
		v.hosts[host] = true
	}
	v.cache = newLookups[found](o.Size)
	return v, nil
}

// Resolve returns the request's context for its tenant: tenancy.WithID, and for an API key KeyFrom and tenancy.WithActor.
// It refuses a tenant whose state does not let it be used, where only GET, HEAD, OPTIONS and TRACE count as reading.
//
// Whatever is not certain is an error: tenancy.ErrNoTenant when no source answers, ErrUnknownTenant, *ConflictError,
// ErrMalformed, *StateError, those of Authenticate, those of the database.
func (v *Resolver) Resolve(r *http.Request) (context.Context, error) {
	f, err := v.find(r)
	if err != nil {
		return nil, err
	}
	if err := f.Check(writes(r.Method)); err != nil {
		return nil, err
	}
	ctx := tenancy.WithID(r.Context(), f.ID)
	if f.key != nil {
		ctx = context.WithValue(tenancy.WithActor(ctx, actorOf(ctx, f.key)), keyKey{}, f.key)
	}
	return ctx, nil
}

// Find is Resolve without the check of the tenant's state, and returns what was found out about the tenant. An answer from
// memory costs no allocation.
func (v *Resolver) Find(r *http.Request) (Ref, error) {
	f, err := v.find(r)
	if err != nil {
		return Ref{}, err
	}
	return f.Ref, nil
}

func (v *Resolver) find(r *http.Request) (*found, error) {
	var host string
	hostKnown := false
	var first *found
	var by *Source
	for i := range v.sources {
		s := &v.sources[i]
		if s.host && !hostKnown {
			var err error
			if host, err = v.hostOf(r); err != nil {
				return nil, err
			}
			hostKnown = true
		}
		if s.host && host == "" {
			continue // e.g. a health check by address
		}
		name, err := s.find(v, r, host)
		if err != nil {
			return nil, err
		}
		if name == "" {
			continue
		}
		f, err := v.lookup(r.Context(), s.kind, name)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first, by = f, s
		} else if f.ID != first.ID {
			return nil, &ConflictError{First: by.name, Second: s.name, host: by.host || s.host}
		} else if f.key != nil && first.key == nil {
			first = f
		}
	}
	if first == nil {
		return nil, tenancy.ErrNoTenant
	}
	return first, nil
}

// hostOf returns the host that the client asked for, or "" if that is no host name.
func (v *Resolver) hostOf(r *http.Request) (string, error) {
	text := r.Host
	if len(v.opts.TrustedProxies) > 0 && v.trusted(r.RemoteAddr) {
		forwarded, err := single(r.Header["X-Forwarded-Host"])
		if err != nil {
			return "", err
		}
		if forwarded != "" {
			text = forwarded
		}
	}
	host, clean := requestHost(text)
	if host != "" && !clean { // no browser sends Unicode; a proxy might
		var err error
		if host, err = ParseHost(text); err != nil {
			return "", nil
		}
	}
	return host, nil
}

func (v *Resolver) trusted(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	for _, p := range v.opts.TrustedProxies {
		if p.Contains(at.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// own tells whether a host is the program's.
func (v *Resolver) own(host string) bool {
	if v.hosts[host] {
		return true
	}
	for i := range v.sources {
		if apex := v.sources[i].apex; apex != "" {
			if _, below := under(host, apex); below || host == apex {
				return true
			}
		}
	}
	return false
}

// lookup finds a tenant by what a source has found, in memory if possible.
func (v *Resolver) lookup(ctx context.Context, kind, name string) (*found, error) {
	ref := reference{kind, name}
	if kind == kindSecret {
		hash := sha256.Sum256([]byte(name)) // the key itself does not stay in memory
		ref.name = string(hash[:])
	}
	if f, err, ok := v.cache.get(ref, time.Now()); ok {
		return f, err
	}
	if kind == kindSlug { // a stranger's text is of any length and in any spelling: one slug is remembered, once
		slug, err := foldSlug(name)
		if err != nil {
			return nil, ErrUnknownTenant
		}
		name, ref.name = slug, slug
	}
	return v.cache.fetch(ctx, ref, func(ctx context.Context) (*found, time.Duration, error) {
		f, age, err := v.load(ctx, kind, name)
		switch {
		case err == nil && f.key != nil && f.key.ExpiresAt != nil:
			return f, min(v.opts.TTL, f.key.ExpiresAt.Sub(f.Now)), nil
		case err == nil:
			return f, v.opts.TTL - age, nil
		case errors.Is(err, ErrUnknownTenant), errors.Is(err, ErrInvalidToken), errors.Is(err, ErrRevoked), errors.Is(err, ErrExpired):
			return nil, v.opts.NegativeTTL - age, err
		}
		return nil, 0, err
	})
}

// load finds a tenant in the shared cache or in the database. age is how long ago the database said so.
func (v *Resolver) load(ctx context.Context, kind, name string) (f *found, age time.Duration, err error) {
	if kind == kindSecret {
		key, ref, err := v.reg.Authenticate(ctx, name)
		return &found{ref, &key}, 0, err
	}
	if v.opts.Shared == nil || v.opts.TTL < 0 {
		ref, err := v.ask(ctx, kind, name)
		return &found{Ref: ref}, 0, err
	}
	text, stored, _, err := v.opts.Shared.GetOrLoad(ctx, sharedTag+":"+kind+":"+name, v.opts.TTL, 0, []string{sharedTag},
		func(ctx context.Context) ([]byte, error) {
			ref, err := v.ask(ctx, kind, name)
			if errors.Is(err, ErrUnknownTenant) && v.opts.NegativeTTL > 0 {
				return []byte("null"), nil
			}
			if err != nil {
				return nil, err
			}
			return json.Marshal(ref)
		})
	if err != nil {
		return nil, 0, err
	}
	var ref *Ref
	if err := json.Unmarshal(text, &ref); err != nil {
		return nil, 0, fmt.Errorf("registry: shared cache: %w", err)
	}
	age = max(time.Since(stored), 0) // its clock may be ahead
	if ref != nil {
		return &found{Ref: *ref}, age, nil
	}
	if age < v.opts.NegativeTTL {
		return nil, age, ErrUnknownTenant
	}
	own, err := v.ask(ctx, kind, name) // the shared cache keeps everything for TTL, a refusal counts for less
	return &found{Ref: own}, 0, err
}

// ask asks the database.
func (v *Resolver) ask(ctx context.Context, kind, name string) (Ref, error) {
	if kind != kindID {
		return v.reg.resolve(ctx, kind, name)
	}
	t, err := v.reg.Get(tenancy.WithID(ctx, name))
	if err != nil {
		return Ref{}, err
	}
	return Ref{ID: t.ID, Slug: t.Slug, Plan: t.Plan, State: t.State, ReadOnly: t.ReadOnly, Reason: t.Reason}, nil
}

// Invalidate forgets what is known of tenants, and all names that did not exist, in this process and in the shared cache.
// Without ids it forgets everything. Call it after a change that must be seen at once, or let Observe call it.
func (v *Resolver) Invalidate(ctx context.Context, ids ...string) error {
	var err error
	if v.opts.Shared != nil { // first: what is read from it in the meantime is dropped below
		err = v.opts.Shared.InvalidateTags(ctx, sharedTag)
	}
	v.cache.drop(func(_ reference, f *found) bool {
		for _, id := range ids {
			if f.ID == id {
				return true
			}
		}
		return len(ids) == 0
	})
	return err
}

func writes(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	return true
}
