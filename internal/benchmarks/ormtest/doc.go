// Package ormtest holds tests alone: the ORMs that users bring run unchanged on tenancy/sqldb, and tenants never see each
// other through them. It is in this module, so that nobody downloads an ORM with the library.
package ormtest
