package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// Ask tells whether a certificate may be issued for a host: nil if one of the resolver's host sources finds a tenant by it
// that may be used at least for reading, else the refusal. It is what servers with on-demand TLS must ask before they
// order a certificate for whatever name a stranger connects with.
func (v *Resolver) Ask(ctx context.Context, host string) error {
	host, err := ParseHost(host)
	if err != nil {
		return err
	}
	r := &http.Request{Method: http.MethodGet, Host: host}
	for i := range v.sources {
		s := &v.sources[i]
		if !s.host {
			continue
		}
		name, err := s.find(v, r, host)
		if err != nil {
			return err
		}
		if name == "" {
			continue
		}
		f, err := v.lookup(ctx, s.kind, name)
		if err != nil {
			return err
		}
		return f.Check(false)
	}
	return ErrUnknownTenant
}

// AskHandler answers GET ?domain=<host>, the form of Caddy's ask endpoint, by Ask: 200 for yes, 404 for no, 503 when that
// is not known. Serve it where only the TLS server reaches it.
func (v *Resolver) AskHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		var refused interface{ HTTPStatus() int }
		switch err := v.Ask(r.Context(), r.URL.Query().Get("domain")); {
		case err == nil:
		case errors.Is(err, ErrHost), errors.As(err, &refused):
			status = http.StatusNotFound
		default:
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
	})
}

// Observe forgets the tenants that the registry's events are about, in this process and in the shared cache. Call it from
// an outbox sink, or from whatever brings events to all processes; events of others are ignored. A process that is not
// told notices after ResolverOptions.TTL.
func (v *Resolver) Observe(ctx context.Context, events ...outbox.Event) error {
	var ids []string
	for _, e := range events {
		var body struct {
			Type   string `json:"type"`
			Tenant string `json:"tenant"`
		}
		// Only the registry's own events have their type and tenant inside.
		if json.Unmarshal(e.Payload, &body) == nil && body.Type == e.Type && body.Tenant == e.Tenant && e.Tenant != "" {
			ids = append(ids, e.Tenant)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return v.Invalidate(ctx, ids...)
}
