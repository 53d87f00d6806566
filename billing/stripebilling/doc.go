// Package stripebilling is the billing.Provider on Stripe, through stripe-go/v76.
//
// Prices are found by lookup key (billing.Price.Key): create each price of the catalogue at Stripe with
// that lookup_key, amount, currency and interval. Checkout compares them, so that nobody is charged another
// price than the program shows.
//
// Webhooks need these events: checkout.session.*, customer.subscription.* and invoice.*; others are
// acknowledged and ignored, whatever API version the endpoint has, because objects are never read from
// the payload: https://docs.stripe.com/webhooks.
//
// # Consistency
//
// Every write carries an idempotency key. Timeouts, 409, 429 and 5xx are retried with backoff, obeying
// Stripe-Should-Retry, the context and a Retry-After of up to 5 s, beyond which the call fails at once; the SDK's own retry, which ignores the context, and its
// telemetry are off. Nothing global of the SDK is used.
//
// # Errors
//
// All errors are *billing.Error. Their Detail has the HTTP status, Stripe's code, parameter and request
// id; the SDK's error, which may hold personal data, is reached with errors.As(err, **stripe.Error).
package stripebilling
