// Package web is pulse on HTTP: the API of the teams, the public status pages,
// and what a visitor of the demo sees.
package web

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// statusFresh is how long a status page is served without asking again; it is
// dropped at once when a monitor's state changes.
const statusFresh = 5 * time.Second

// statusStale is how much longer it is served to whoever asks first, while a
// newer one is made.
const statusStale = time.Minute

// Options are what the handler shows besides the app.
type Options struct {
	Health   *httpx.Health // required
	Inbox    http.Handler  // nil: no dev inbox
	Jobs     http.Handler  // nil: no jobs dashboard; it asks for whom it is itself, see Operators
	Cache    http.Handler  // nil: no page about the cache; likewise
	Metrics  http.Handler  // nil: no metrics of the queue; likewise
	Checkout http.Handler  // nil: the provider hosts its own page
	Limits   *Limits       // nil: none
	Demo     bool          // true: a site at /demo/site that can be broken
	Logger   *slog.Logger  // nil: slog.Default()

	TrustedProxies []netip.Prefix // in front of this server; nil: none
}

// ops mounts a page for operators, if there is one.
func ops(mux *http.ServeMux, path string, page http.Handler) {
	if page != nil {
		mux.Handle(path+"/", http.StripPrefix(path, page))
		mux.Handle("GET "+path, http.RedirectHandler(path+"/", http.StatusMovedPermanently))
	}
}

// New returns the handler of a whole server.
func New(a *app.App, o Options) http.Handler {
	mux := http.NewServeMux()
	public(mux, a, o.Limits)
	team(mux, a, o.Limits)
	teamPages(mux, a, o.Limits)
	mux.Handle("POST /webhooks/billing", a.Billing.Webhook())
	mux.Handle("GET /livez", o.Health.Live())
	mux.Handle("GET /readyz", o.Health.Ready())
	if o.Inbox != nil {
		mux.Handle("/inbox/", http.StripPrefix("/inbox", o.Inbox))
		mux.Handle("GET /inbox", http.RedirectHandler("/inbox/", http.StatusMovedPermanently))
	}
	ops(mux, "/ops/jobs", o.Jobs)
	ops(mux, "/ops/cache", o.Cache)
	if o.Metrics != nil {
		mux.Handle("GET /ops/metrics", o.Metrics)
	}
	if o.Checkout != nil {
		mux.Handle("/checkout/", o.Checkout)
	}
	if o.Demo {
		mux.Handle("/demo/site", new(demoSite))
	}
	mux.Handle("GET /{$}", home(a.Base, o))
	return httpx.Default(mux, &httpx.DefaultOptions{
		Logger: o.Logger, TrustedProxies: o.TrustedProxies,
		MapErrors: []func(error) *httpx.Problem{problem},
	})
}

// public is for everybody: signing up, and the status pages.
func public(mux *http.ServeMux, a *app.App, l *Limits) {
	mux.Handle("POST /signup", l.ofSignUp(httpx.Write(nil, a.SignUp, &httpx.WriteOptions{Status: http.StatusCreated})))

	bySlug := tenant(a.Pages)
	mux.Handle("GET /status/{slug}", bySlug(httpx.Read(a.Status, &httpx.ReadOptions{
		Cache: a.Hub, Fresh: statusFresh, Stale: statusStale, Tags: []string{app.StatusTag}, Scope: httpx.Public,
	})))
	mux.Handle("GET /status/{slug}/page", bySlug(statusPage(a)))
}

// team is what needs an API key.
func team(mux *http.ServeMux, a *app.App, l *Limits) {
	byKey := tenant(a.Keys)
	changes := func(status int, location string) *httpx.WriteOptions {
		return &httpx.WriteOptions{Cache: a.Hub, Tags: []string{app.StatusTag}, Status: status, Location: location}
	}
	for pattern, h := range map[string]http.Handler{
		"GET /monitors":              httpx.Read(a.Monitors, nil),
		"POST /monitors":             httpx.Write(a.DB, a.AddMonitor, changes(http.StatusCreated, "/monitors/{id}")),
		"GET /monitors/{id}":         httpx.Read(a.Monitor, nil),
		"DELETE /monitors/{id}":      httpx.Write(a.DB, a.RemoveMonitor, changes(0, "")),
		"POST /monitors/{id}/checks": httpx.Write(nil, a.CheckNow, &httpx.WriteOptions{Status: http.StatusAccepted}),
		"GET /monitors/{id}/uptime":  httpx.Read(a.Uptime, nil),
		"GET /contacts":              httpx.Read(a.Contacts, nil),
		"POST /contacts":             httpx.Write(a.DB, a.AddContact, &httpx.WriteOptions{Status: http.StatusCreated}),
		"PUT /contacts/{id}":         httpx.Write(a.DB, a.ChangeContact, nil),
		"DELETE /contacts/{id}":      httpx.Write(a.DB, a.RemoveContact, nil),
		"GET /incidents":             httpx.Read(a.Incidents, nil),
		"GET /plan":                  httpx.Read(a.Plan, nil),
		"POST /checkout":             httpx.Write(nil, a.Checkout, nil),
	} {
		mux.Handle(pattern, l.ofAddress(byKey(l.ofTeam(h))))
	}
}

// known tells the log, and the cache, the team that was found.
var known = httpx.Tenant(func(r *http.Request) (string, error) {
	id, _ := tenancy.IDFrom(r.Context())
	return id, nil
}, tenancy.WithID)

// tenant finds the team of a request, and who acts for it, and says so in the
// log.
func tenant(by *registry.Resolver) httpx.Middleware {
	return func(next http.Handler) http.Handler {
		next = known(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, err := by.Resolve(r)
			if err != nil {
				httpx.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// problem puts the app's and the blocks' errors into words and statuses; what
// it does not know stays a 500 without a text.
func problem(err error) *httpx.Problem {
	var field *uptime.FieldError
	var denied *billing.DeniedError
	var failed *billing.Error
	var refused *record.ConstraintError
	switch {
	case errors.As(err, &refused):
		p := httpx.NewProblem(http.StatusConflict, "conflict", "The database refuses this.")
		if errors.Is(err, record.ErrConflict) {
			p.Detail = "There is one with the same value already."
		}
		for _, column := range refused.Columns {
			p.Errors = append(p.Errors, httpx.FieldError{Pointer: "/" + column, Detail: column + " is not possible as it is"})
		}
		return p
	case errors.Is(err, record.ErrCursor):
		return httpx.NewProblem(http.StatusBadRequest, "cursor", "The cursor is not valid here: begin at the first page.")
	case errors.Is(err, tenancy.ErrStale):
		return httpx.NewProblem(http.StatusConflict, "stale", "Somebody has changed it meanwhile: read it again.")
	case errors.As(err, &field):
		p := httpx.NewProblem(http.StatusUnprocessableEntity, "invalid", "The input has a mistake.")
		p.Errors = []httpx.FieldError{{Pointer: "/" + field.Field, Detail: field.Error()}}
		return p
	case errors.As(err, &denied):
		p := httpx.NewProblem(denied.HTTPStatus(), "plan_limit", denied.Error())
		p.Extensions = map[string]any{"feature": denied.Decision.Feature, "limit": denied.Decision.Limit, "plan": denied.Decision.Plan}
		if denied.Decision.Upgrade != "" {
			p.Extensions["upgrade"] = denied.Decision.Upgrade
		}
		return p
	case errors.As(err, &failed):
		return httpx.NewProblem(failed.HTTPStatus(), "billing_unavailable", "The payment provider does not answer as it should. Try again later.")
	case errors.Is(err, billing.ErrUnknownPlan):
		return httpx.NewProblem(http.StatusUnprocessableEntity, "unknown_plan", `There is no such plan for sale: try "pro".`)
	case errors.Is(err, billing.ErrAlreadySubscribed):
		return httpx.NewProblem(http.StatusConflict, "already_subscribed", "The team has a subscription already.")
	case errors.Is(err, tenancy.ErrNoTenant), errors.Is(err, registry.ErrInvalidToken),
		errors.Is(err, registry.ErrExpired), errors.Is(err, registry.ErrRevoked):
		p := httpx.NewProblem(http.StatusUnauthorized, "unknown_key", "Send the API key that the sign-up returned: Authorization: Bearer sk_live_…")
		p.Header = http.Header{"Www-Authenticate": {`Bearer realm="pulse"`}}
		return p
	case errors.Is(err, registry.ErrForbidden):
		return httpx.NewProblem(http.StatusForbidden, "forbidden", "This API key may not do that.")
	case errors.Is(err, registry.ErrLastOwner):
		return httpx.NewProblem(http.StatusConflict, "last_owner", "The last owner stays.")
	case errors.Is(err, app.ErrNotFound), errors.Is(err, tenancy.ErrNotFound):
		return httpx.NewProblem(http.StatusNotFound, "not_found", "There is no such thing in this team.")
	case errors.Is(err, registry.ErrTaken):
		return httpx.NewProblem(http.StatusConflict, "slug_taken", "This slug is taken: choose another.")
	case errors.Is(err, notify.ErrInvalid):
		return httpx.NewProblem(http.StatusUnprocessableEntity, "invalid", "The address is not valid.")
	}
	return nil
}
