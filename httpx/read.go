package httpx

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Scope says who may share a cached answer of [Read].
type Scope int

const (
	// PerPrincipal shares nothing between principals (see [Info.SetPrincipal]). Requests that carry credentials (Authorization, Cookie, a
	// client certificate, a header whose name sounds like a key, a token or a person) while no principal is known are not cached at
	// all, so forgetting to name the principal costs speed and not privacy.
	PerPrincipal Scope = iota

	// PerTenant shares an answer between all principals of a tenant. Choose it when fn's answer does not depend on who asks.
	PerTenant

	// Public shares an answer with everybody, also with caches outside of this program. Those know it by its URL and the headers
	// that In declares: where a tenant makes a difference the URL must name it, in the path or as the host. ReadOptions.Tenant must be
	// nil then: Read panics.
	Public
)

// ReadOptions configures [Read]; nil and the zero value are ready for use and cache nothing.
type ReadOptions struct {
	// Cache stores encoded answers: a *cache.Hub, which scopes its keys by tenant, or hub.Shared() for data of no tenant. Nil means that fn
	// runs for each request; conditional requests work all the same. Routes that share a Cache are told apart by pattern, path and
	// the name of fn: two services of one type under the same path, on two hosts for example, need two caches or host patterns.
	Cache Cache

	// Fresh is how long an answer is served without asking fn. It must be positive when Cache is set.
	Fresh time.Duration

	// Stale is how much longer an answer is served while one load replaces it. Zero means not at all.
	Stale time.Duration

	// Tags name what an answer depends on; a [Write] that lists one of them drops it. {name} stands for a path or query parameter: "note:{id}".
	Tags []string

	// Scope says who may share an answer. Zero means PerPrincipal.
	Scope Scope

	// Tenant makes the tenant part of the key, in addition to what Cache does, and refuses requests without one before any work.
	// Nil means that the cache alone decides.
	Tenant func(context.Context) (id string, ok bool)
}

// Read makes a GET endpoint of fn. Fields of In are filled from struct tags path:"id", query:"limit" and header:"X-Zone": strings, booleans,
// numbers, time.Duration, encoding.TextUnmarshaler, pointers to them (nil when absent) and, for query and header, slices. Query parameters that In does
// not declare are refused with the list of those it does. If In is a [Validator], it is asked before fn.
//
// The answer is Out as JSON with a strong ETag; If-None-Match gets 304, If-Match 412, and HEAD gets the headers. With a cache, fn runs
// once for all concurrent callers; Age and Cache-Status (RFC 9211) say where the answer came from. Only Out is stored, never an error and
// never a header such as Set-Cookie, and nothing at all if a middleware has set Cache-Control to no-store. What the client
// says in its own Cache-Control is for the caches on its way, not for this one: it must not be able to make fn run. An error of the
// cache itself, such as a missing tenant, is an error of the request. fn is an ordinary function for jobs and tests. It runs with
// a context that outlives the request when it fills the cache, so it must not depend on the request beyond In, tenant and principal.
//
// Read panics when In's tags, Tags or opts cannot work.
func Read[In, Out any](fn func(context.Context, In) (Out, error), opts *ReadOptions) *Endpoint {
	if opts == nil {
		opts = &ReadOptions{}
	}
	t := reflect.TypeFor[In]()
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("httpx: Read: the input must be a struct, not %v", t))
	}
	switch {
	case fn == nil:
		panic("httpx: Read needs a function")
	case opts.Cache != nil && opts.Fresh <= 0:
		panic("httpx: Read: ReadOptions.Fresh must be positive when Cache is set")
	case opts.Scope == Public && opts.Tenant != nil:
		panic("httpx: Read: ReadOptions.Tenant and the scope Public exclude each other")
	}
	e := &reader{
		opts: *opts, binder: newBinder(t, false),
		name: runtime.FuncForPC(reflect.ValueOf(fn).Pointer()).Name() + " " + reflect.TypeFor[Out]().String(),
	}
	e.tags = newTemplates(opts.Tags, e.binder, nil)
	e.vary = varies(opts.Scope, e.binder)
	e.prepare = func(r *http.Request) (load, reflect.Value, url.Values, error) {
		in := new(In)
		query, err := e.binder.bind(r, reflect.ValueOf(in).Elem())
		if err == nil {
			err = validate(in)
		}
		return func(ctx context.Context) ([]byte, error) {
			out, err := fn(ctx, *in)
			if err != nil {
				return nil, err
			}
			return encode(out)
		}, reflect.ValueOf(in).Elem(), query, err
	}
	return &Endpoint{serve: e.serve, op: Operation{
		In: t, Out: reflect.TypeFor[Out](), Status: http.StatusOK, Params: e.params(), Cached: opts.Cache != nil,
	}}
}

// load runs a handler function on a decoded input and encodes its output.
type load = func(context.Context) ([]byte, error)

// reader is a Read endpoint without its types.
type reader struct {
	opts    ReadOptions
	binder  *binder
	tags    []template
	vary    string
	name    string
	prepare func(*http.Request) (load, reflect.Value, url.Values, error)
}

func (e *reader) params() []Param {
	var list []Param
	for _, f := range e.binder.fields {
		list = append(list, f.Param)
	}
	return list
}

func (e *reader) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return methodNotAllowed("GET, HEAD")
	}
	if err := negotiate(r); err != nil {
		return err
	}
	tenant, err := checkTenant(r.Context(), e.opts.Tenant)
	if err != nil {
		return err
	}
	load, in, query, err := e.prepare(r)
	if err != nil {
		return err
	}
	info := InfoFrom(r.Context())
	var a answer
	switch {
	case e.opts.Cache == nil:
		a, err = direct(r.Context(), load, "")
	case noStore(w.Header()), e.opts.Scope == PerPrincipal && info.Principal() == "" && hasCredentials(r):
		a, err = direct(r.Context(), load, "bypass")
	default:
		a, err = e.cached(r, load, in, query, tenant, info)
	}
	if err != nil {
		return err
	}
	set(info, &info.cache, a.status)
	if lines, ok := r.Header["If-Match"]; ok && !matchesETag(lines, a.etag, strongly) {
		return NewProblem(http.StatusPreconditionFailed, "precondition_failed", "What is here has another entity tag.")
	}
	e.send(w, r, a)
	return nil
}

// answer is an encoded output and where it came from; status "" means without a cache.
type answer struct {
	etag   string
	body   []byte
	stored time.Time
	status string
}

func direct(ctx context.Context, load load, status string) (answer, error) {
	body, err := load(ctx)
	if err != nil {
		return answer{}, err
	}
	return answer{etag: etagOf(body), body: body, status: status}, nil
}

func (e *reader) cached(r *http.Request, load load, in reflect.Value, query url.Values, tenant string, info *Info) (answer, error) {
	key := e.key(r, query, tenant, info)
	val, stored, status, err := e.opts.Cache.GetOrLoad(r.Context(), key, e.opts.Fresh, e.opts.Stale, expandAll(e.tags, in, reflect.Value{}),
		func(ctx context.Context) (val []byte, err error) {
			// The cache may run this outside of the request's goroutine, where no Recover would see a panic.
			defer func() {
				if v := recover(); v != nil {
					err = reportedError{panicError(v)}
					info.panicked(ctx, err, debug.Stack())
				}
			}()
			body, err := load(ctx)
			if err != nil {
				return nil, err
			}
			return seal(body), nil
		})
	if err != nil {
		return answer{}, err
	}
	etag, body, err := unseal(val)
	if err != nil {
		return answer{}, err
	}
	return answer{etag: etag, body: body, stored: stored, status: status}, nil
}

// varies lists the request headers that an answer depends on, for caches between this program and the client.
func varies(scope Scope, b *binder) string {
	var names []string
	if scope != Public {
		names = []string{"Authorization", "Cookie"}
	}
	for _, f := range b.fields {
		if f.In == "header" {
			names = append(names, f.Name)
		}
	}
	return strings.Join(names, ", ")
}

// identifying are parts of names of headers that can say who asks, also those that an authenticating proxy adds.
var identifying = [...]string{
	"account", "assertion", "auth", "cert", "consumer", "cookie", "credential", "customer", "group", "identity", "jwt", "key",
	"login", "mail", "oidc", "principal", "role", "secret", "session", "signature", "subject", "token", "user",
}

// hasCredentials reports whether the answer could depend on who asks: it errs on the side of yes.
func hasCredentials(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return true
	}
	for name := range r.Header {
		if name == "Idempotency-Key" || strings.HasPrefix(name, "Sec-") {
			continue
		}
		name = strings.ToLower(name)
		for _, part := range identifying {
			if strings.Contains(name, part) && name != "user-agent" {
				return true
			}
		}
	}
	return false
}

// noStore reports whether somebody around the endpoint has decided that this answer must not be kept.
func noStore(h http.Header) bool {
	for _, line := range h["Cache-Control"] {
		if strings.Contains(strings.ToLower(line), "no-store") {
			return true
		}
	}
	return false
}

func (e *reader) send(w http.ResponseWriter, r *http.Request, a answer) {
	h := w.Header()
	h.Set("Etag", a.etag)
	switch {
	case noStore(h):
	case e.opts.Scope == Public && len(h["Set-Cookie"]) == 0:
		h.Set("Cache-Control", publicCacheControl(e.opts.Fresh, e.opts.Stale))
	default: // also where a middleware gives this client a cookie: nobody else may get it
		h.Set("Cache-Control", "private, no-cache")
	}
	if e.vary != "" {
		h.Add("Vary", e.vary)
	}
	if a.status != "" {
		describeCache(h, a, e.opts.Fresh)
	}
	if matchesETag(r.Header["If-None-Match"], a.etag, weakly) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	send(w, r, http.StatusOK, a.body)
}
