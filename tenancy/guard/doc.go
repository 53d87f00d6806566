// Package guard finds out whether a database keeps tenants apart, and writes the SQL that makes it so.
//
// # Usage
//
//	found, err := guard.Audit(ctx, pool, nil)        // every finding, with the SQL that mends it
//	err = guard.Check(ctx, pool, &guard.Options{     // readiness: fails unless tenants are kept apart
//		Allow: []guard.Exception{{"T18", "public.countries", "the same for everybody"}},
//	})
//
// In tests: tenancytest.RequireGuarded(t, tenancytest.Postgres(t, app.Migrations), nil).
//
// # Consistency
//
// The rules, each one found in the catalog alone, on any schema but PostgreSQL's own and extensions':
//
//	T01 breach  a table, or a partition that the app role has rights on, has the tenant column but no row-level security
//	T02 breach  row-level security is not forced on the table's owner
//	T03 weak    the app role may use a table without a policy for it: it looks empty
//	T04 slow    a policy calls a function outside of a sub-select, which is evaluated for each row
//	T05 breach  a policy lets more through than the rows of tenancy.tenant_id(): an OR, true, another setting, a
//	            cast or collation that takes different tenants for the same
//	T06 weak    the tenant column may be null
//	T07 slow    no index begins with the tenant column
//	T08 weak    a unique index without the tenant column tells of other tenants' values
//	T09 weak    a foreign key between tenants' tables without the tenant column; keys are checked past all policies
//	T10 breach  a view that the app role may read runs with its owner's rights
//	T11 breach  a materialized view that the app role may read
//	T12 breach  a SECURITY DEFINER function that the app role may call, or make a trigger of a temporary table
//	T13 breach  TRUNCATE, REFERENCES, TRIGGER or MAINTAIN granted to the app role, or UPDATE of a sequence,
//	            or INSERT of what the database says in tenancy.outbox and tenancy.audit
//	T14 breach  a role that acts as the app is a superuser, has BYPASSRLS or REPLICATION, or owns such tables
//	T15 breach  it can become such a role, the system role or one that reads all data, with the statistics of all tenants'
//	            values, or the server's files, or has CREATEROLE
//	T16 weak    the app role may create objects in a schema, or schemas
//	T17 slow    an index that row-level security keeps from use, as its operators are not leakproof
//	T18 weak    the app role may use a table without the tenant column that nobody declared as global
//	T19 breach  a role, database, server or session has a tenant, or row_security, set for whole sessions
//	T20 advice  the app role may make temporary tables, as PostgreSQL lets everybody at first
//	T21 advice  a partition that the app role has no right on has no row-level security
//	T22 breach  a rule (CREATE RULE) acts with its owner's rights when the app role writes
//	T23 breach  the app role may read a large object, which has no tenant
//	T24 breach  a function that runs with other rights when the app role calls it or writes, in whose search_path pg_temp is not last
//
// tenancy.protect covers the partitions that a table has when it is called. Of later ones T01 finds those that default
// privileges gave the app role rights on, and T21 the others.
//
// Before PostgreSQL 15 a view cannot run with its reader's rights, so that T10 is mended by a revoke, and everybody may create
// in the schema public, which T16 finds and the owner of that schema, at first a superuser, revokes.
//
// T23 speaks up once there is such a large object: that everybody may make one is how PostgreSQL comes, and only a superuser can
// change it (revoke execute on function lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) from public).
//
// T24 is about temporary tables and types, which PostgreSQL looks for first unless pg_temp stands last in a search_path, even behind
// pg_catalog: a name without a schema, a type as common as text among them, is then what injected SQL made of it, and runs what that
// likes with the rights of the function. These are the function's owner's (SECURITY DEFINER), or the table's owner's for a trigger that
// ON DELETE CASCADE or SET NULL sets off, and the owner reads the seal's keys. Constraints and indexes that call functions are not
// looked at. Where the app role cannot make temporary objects (T20) there is nothing to find.
//
// A unit of work closes a connection on which it made a temporary table, as far as its text says so. Where nobody needs
// them, have T20 mended: revoke temporary on database … from public.
//
// Not found: what SQL is built from user input (see tenancy.Seal), and what code does with the system role.
//
// # Tenancy
//
// An audit needs no tenant. Any role can run it; run it as the role that serves requests.
//
// # Errors
//
// Check: tenancy.ErrUnsafeRole, *Error matching ErrUnguarded. Errors of PostgreSQL come through as *pgconn.PgError.
//
// # Concurrency
//
// Everything may be called from any number of goroutines.
package guard
