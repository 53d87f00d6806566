// Package httpx is the HTTP edge of a service on plain net/http: a server that stops without losing requests, the middlewares every
// service needs in the order that works, errors as problem+json, cached reads and transactional writes.
//
// Everything is an http.Handler or a func(http.Handler) http.Handler, so any mux and any other middleware fit in between.
//
// # Usage
//
// Handlers are functions from a typed input to a typed output, which jobs and tests can call too. [Read] and [Write] make endpoints of
// them, [Default] puts the middlewares around the mux, and [Run] serves it until its context ends:
//
//	mux.Handle("GET /notes/{id}", httpx.Read(svc.Get, &httpx.ReadOptions{Cache: hub, Fresh: time.Minute}))
//	mux.Handle("POST /notes", httpx.Write(db, svc.Create, nil))
//	err = httpx.Run(ctx, ":8080", httpx.Default(mux, nil), nil)
//
// # Consistency
//
// A [Write] decodes, runs its function and encodes the answer inside one unit of work: a client gets a success only for what was
// committed, and nothing is committed that cannot be answered. When the connection breaks after the commit, the client does not learn of it.
// Cached answers are dropped after the commit and before the answer, so the writer reads its own write. A process that dies between commit
// and dropping leaves readers with the old state until Fresh and Stale of the [Read] are over.
//
// [Run] lets running requests finish. What outlives its grace is cut off: the client sees a broken connection, not a short answer.
//
// # Tenancy
//
// The [Tenant] middleware finds the tenant of a request and puts it into the context by a function that tenancy.WithID satisfies. Read and
// Write never choose a tenant: the cache and the unit of work take it from the context and refuse to work without one. The options named
// Tenant refuse earlier. What the middleware told apart never shares a cached answer inside this program, whatever the cache; the scope
// [Public] shares between principals, not between tenants. Without a known principal, requests with credentials are not cached unless
// [ReadOptions].Scope allows it.
//
// # Errors
//
// Every error is answered as problem+json (RFC 9457) with a code for programs and the request id; [WriteError] lists how an error becomes a
// problem. The text of an unexpected error goes to the log and to the reporter, never to the client. The codes of this package are
// body_too_large, body_too_slow, canceled, internal, invalid_input, invalid_parameters, malformed_body, malformed_json, malformed_query,
// method_not_allowed, not_acceptable, not_found, not_ready, precondition_failed, tenant_not_found, timeout, unavailable, unsupported_content_encoding and
// unsupported_media_type. Functions that set up routes panic on misuse, as http.ServeMux does.
//
// # Concurrency
//
// All handlers, middlewares, [Health] and [Info] are safe for concurrent use. Nothing starts a goroutine except [Run], which waits for
// its own (and says so when a worker outlives Grace), and [Health], whose checks run beside each other.
package httpx
