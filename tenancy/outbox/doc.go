// Package outbox moves events from committed transactions to sinks.
package outbox
