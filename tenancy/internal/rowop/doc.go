// Package rowop is what package record and the in-memory kit of tenancytest share: the description of a table and of a
// statement on it. A statement travels as the only argument of its query. PostgreSQL gets its text and arguments through
// pgx.QueryRewriter; the kit evaluates the description itself. Both come from one value, so they cannot drift apart.
package rowop
