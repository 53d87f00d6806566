// Package cachetest tests programs that cache, and stores for package cache.
//
// [New], or [NewStore] in a program, returns a [cache.Store] in memory: no server, no I/O, and
// virtual time in a testing/synctest bubble. Its faults can be switched, per simulated process:
// see [Store.Node], [Store.Down], [Store.DropEvents], [Store.Cut], [Store.Intercept].
//
// [Run] is the conformance suite that every store must pass, this one and the real ones.
package cachetest
