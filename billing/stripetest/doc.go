// Package stripetest is a fake Stripe: a stateful HTTP server on loopback that speaks the part of Stripe's
// API which stripebilling uses (customers, prices, checkout and portal sessions, subscriptions) and sends
// signed webhooks, so that programs are tested through the real SDK.
//
// It is strict where Stripe is: keys, unknown parameters, missing objects and reused idempotency keys are
// refused with Stripe's errors. It was written from https://docs.stripe.com/api for version 2023-10-16.
// Stripe charges cards; this server has none: Complete is the buyer who paid.
//
// [NewServer] starts a server anywhere; [New] starts one that ends with a test.
package stripetest
