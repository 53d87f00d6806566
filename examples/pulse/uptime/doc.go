// Package uptime is pulse's domain: what a monitor is, when it is down, and
// when an incident begins and ends. It knows no database, queue or network,
// and none of Ashlar; its aggregates are changed by methods that keep their
// rules, and say what happened as events.
package uptime
