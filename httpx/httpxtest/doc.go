// Package httpxtest helps to test programs that use httpx: a client that calls a handler in memory, a cache and a unit of work that
// need no server and can be made to fail, and [RunCache], which checks that a cache is one that httpx.Read can rely on. For package
// ratelimit there are [Limits], a store in memory that can fail, and [RunLimits], which checks any.
//
// # Usage
//
//	client := httpxtest.NewClient(t, httpx.Default(mux, nil))
//	client.Post("/notes", map[string]any{"text": "hi"}).RequireStatus(http.StatusCreated)
//	client.Get("/notes/9").RequireProblem(http.StatusNotFound, "note_not_found")
//
// # Consistency
//
// The fakes keep what they are given in memory and do no I/O, so they work inside a testing/synctest bubble, where time is virtual.
//
// # Tenancy
//
// [Cache] has the Tenant seam of the real one: set, it scopes keys and tags and refuses to work without a tenant.
//
// # Errors
//
// Failures are switched on with [Cache.Fail], [Cache.FailInvalidations], [DB.FailCommits], [Limits.Fail] and [Limits.Hang].
//
// # Concurrency
//
// The fakes are safe for concurrent use. A [Client] and its responses belong to one test goroutine.
package httpxtest
