// Package testenv gives tests real servers: PostgreSQL, Redis and ClickHouse,
// started at the first use by a test binary and ended with it. No TestMain is
// needed, nothing is shared between tests, all of them may run in parallel.
//
// A missing server fails the test with the line that installs it; nothing is
// skipped.
//
// The environment variable TEST_DATABASE_URL names a PostgreSQL that runs
// already, as a CI service does; its user must be allowed to create roles and
// databases.
package testenv
