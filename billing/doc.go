// Package billing sells plans: a catalogue written in Go, entitlements answered from your own
// database, and a webhook engine that keeps that database equal to the payment provider's truth
// whatever the order, number or loss of the provider's messages.
//
// The package itself imports the standard library only. A [Provider] moves money (stripebilling, or
// the fake of billingtest), a [Store] remembers (pgbilling, or billingtest).
//
// # Usage
//
// Describe plans in a [Catalog], build a [Billing] with [New], mount [Billing.Webhook], send buyers to
// the URL of [Billing.Checkout], and ask [Billing.Can] before doing what a plan limits. The package
// example is the whole program.
//
// # Consistency
//
// A provider's webhooks arrive late, twice, out of order, or never. Their content is therefore never
// copied: a webhook only says "look at this subscription". [Billing.Webhook] records the event and
// raises the subscription's generation in one step, fetches the subscription from the provider, and
// stores it only if no younger generation was stored meanwhile. So a slow handler cannot overwrite a
// newer state, an event counts once, and a subscription that ended never comes back to life. The
// answer is 2xx only after that; otherwise the provider is asked, by 503, to deliver again, and a
// redelivered event resumes where the first attempt stopped.
//
// [Billing.Can], [Billing.Subscription] and [Billing.Plan] read the store and never call the
// provider: they work while it is down, and lag behind it by the delivery time of its webhook.
// Not promised: an event which the provider gives up delivering is not noticed, a customer deleted at
// the provider is not replaced, and the record of events is never pruned.
//
// # Tenancy
//
// The customer is a tenant. Its id comes from the context through [Options].Tenant; when that is set
// and finds none, every method fails with [ErrNoTenant] before any I/O, and Can denies. Without the
// option the program has one tenant, stored under the id "default". Webhooks carry no tenant: the
// store knows which tenant a provider's customer belongs to, since the customer is saved before its
// first checkout begins. A subscription of an unknown customer is stored and grants nothing until
// its customer is saved.
//
// # Errors
//
// Conditions to branch on are sentinels, see [ErrLimit] and its neighbours; a provider's failure is
// an [*Error], a refusal of Can a [*DeniedError]. Both have an HTTPStatus method. No error text holds
// a key, an e-mail address or a card.
//
// # Concurrency
//
// A [Billing] is immutable after New and safe for concurrent use by goroutines and by any number of
// processes over one store. It starts no goroutine.
package billing
