// Package ratelimit limits how often something may happen: requests of an address or a tenant, logins, text messages. Limits
// are kept in Redis by package redishttp, on Redis' clock, or in this process by [Memory].
//
// # Usage
//
// A [Limiter] has a name, one or more limits that a call has to pass all of, and a store. In front of handlers it is a
// middleware, elsewhere a call:
//
//	store, err := redishttp.NewLimits(rdb, nil)
//	lim, err := ratelimit.New(store, "signup", []ratelimit.Limit{{Rate: 5, Per: time.Hour}}, nil)
//	mux.Handle("POST /signup", lim.Middleware(&ratelimit.MiddlewareOptions{Key: ratelimit.ByClientIP})(signUp))
//
//	d, err := lim.Allow(ctx, user)
//	if !d.Allowed { … d.RetryAfter … }
//
// # Consistency
//
// The algorithm is GCRA (the generic cell rate algorithm of ATM): a bucket that fills up evenly, of which a store knows one
// time only. Up to Burst units may be taken at once and Rate in each Per after that; there are no windows at whose seam twice
// as much passes, nor a list of what was taken. Rates are kept exactly, whatever they are.
//
// All limits of a call are decided together: it takes from all of them or from none, in one step of the store, so concurrent
// calls of any number of processes never get more than there is. Limits that are counted for different keys can be in one
// call only below a common one, which is what the key of the call is: [Limit].Key divides it, such as a tenant into its
// users, and on a Redis Cluster all of it is in one slot. What has nothing in common, like an address and a tenant, are two
// limiters one behind the other: a request that the second denies has been one of that address all the same.
//
// While the store does not answer [Options].Failure decides. Without it limits go on in this process; what stands before a
// login, a sign-up or money may be that or [FailClosed], never [FailOpen]. A store that loses what it holds gives units
// back. A call whose answer gets lost may have been counted.
//
// # Tenancy
//
// With [Options].Tenant each tenant has buckets of its own, and a context without one is an error before anything else.
// Without it a key is all that counts. Keys, tenants' included, are hashed before the store sees them.
//
// # Errors
//
// To be denied is a [Decision], not an error; [Decision.Err] makes one. [New] returns [ErrLimit]; calls return [ErrCost],
// [ErrNoTenant], [ErrUnavailable], and what [Options].Limits and the context say. The middleware answers with the codes
// rate_limited (429) and rate_limit_unavailable (503); other errors are for httpx.WriteError, to which they are unexpected.
//
// # Concurrency
//
// All types are safe for concurrent use. Nothing starts a goroutine.
package ratelimit
