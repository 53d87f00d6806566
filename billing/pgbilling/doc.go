// Package pgbilling is the billing.Store on PostgreSQL 14 or newer, with pgx.
//
// # Usage
//
// Run [Migrations] as the owner of the database, then give [New] a pool whose role is a member of
// tenancy_system; a program with a single role grants that to it: "grant tenancy_system to app". The
// tables live in the schema "billing".
//
// # Consistency
//
// Each method is one transaction and durable when it returns. Writes always use the store's own pool and never
// join a caller's transaction: a provider's customer or event that a rollback forgot would be paid for and
// unknown. Reads join the caller's open transaction, see [Options].
//
// # Tenancy
//
// Row-level security is on and forced. Members of tenancy_app read the customers and subscriptions of the
// tenant that tenancy.tenant_id() names, and write nothing; without the tenancy schema they read nothing.
// Members of tenancy_system read and write everything, which webhooks need: an event has no tenant. The
// rows of billing.events and billing.syncs, which have none either, go with the row of their subscription
// when a tenant is purged, without being counted in its report. What stays are events of subscriptions that were never
// stored, and what the provider sends later: ids of the provider's objects, which lead to nobody here.
package pgbilling
