// Package testenv gives tests real servers: PostgreSQL, Redis and ClickHouse,
// started at the first use by a test binary and ended with it. No TestMain is
// needed, nothing is shared between tests, all of them may run in parallel.
//
// A missing server fails the test with the line that installs it; nothing is
// skipped.
//
// The environment variables TEST_DATABASE_URL and TEST_REDIS_URL name servers
// that run already, as a CI service does; the user of the former must be
// allowed to create roles and databases.
package testenv
