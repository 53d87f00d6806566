// Package billingtest has what programs and adapters need to test billing without a payment provider:
// [New] makes a Billing ready for use on [Provider] and [Store], stateful fakes in memory without I/O that
// work in a testing/synctest bubble, and the conformance suites [RunProvider] and [RunStore] that every
// adapter must pass.
//
// A program may run on the fakes too: [Provider] is an http.Handler with a page whose button completes a
// checkout. No money moves.
package billingtest
