// Package sqlexpr evaluates a small part of SQL's expressions, so that the in-memory kit of tenancytest answers the
// statements of package record as PostgreSQL does.
//
// It knows comparison (also of rows), and, or, not, is null, is distinct from, in, between, any and all of an array, like,
// ilike, ^@, ||, ->>, arithmetic, case, a dozen functions, now() and intervals. Casts are ignored but for those to text,
// integers and intervals. Everything else is an *Error that says so. Text is compared byte by byte, as under COLLATE "C".
package sqlexpr
