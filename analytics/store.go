package analytics

import (
	"context"
	"encoding/json"
	"reflect"
	"time"
)

// Store keeps events and aggregates them. Implementations must pass analyticstest.Run.
type Store interface {
	// Insert stores all records of a batch, or none that a repeat would duplicate: when it returns an error, the same
	// batch comes again with the same token until Insert returns nil. A token seen before must be ignored and answered
	// with nil. An error wrapping [ErrRejected] says that the batch itself is at fault. The records belong to the caller.
	Insert(ctx context.Context, b Batch) error
	// Query aggregates events of exactly q.Tenant. Rows come in no particular order and only for buckets and groups
	// that have events.
	Query(ctx context.Context, q Query) ([]Row, error)
}

// Batch is a group of records that is stored once, whatever the number of attempts.
type Batch struct {
	// Token identifies the batch for ever: same token, same records, same order.
	Token   string
	Records []Record
}

// Record is one event as stores see it.
type Record struct {
	// ID is a UUID in text form (version 7 of RFC 9562 for events stamped by Track).
	ID string `json:"id"`
	// Tenant is "" without multi-tenancy.
	Tenant string `json:"tenant"`
	// Name is the name given to [Define].
	Name string `json:"name"`
	// User is "" when the event belongs to no user.
	User string `json:"user,omitempty"`
	// Time is when it happened, in UTC with millisecond precision.
	Time time.Time `json:"time"`
	// Props is a flat JSON object in field order. Numbers of float fields always have a fraction or an exponent, so
	// that their type survives a store that infers types.
	Props json.RawMessage `json:"props"`
}

// Agg is how a [Metric] turns events into a number.
type Agg string

// The aggregations a [Store] must offer.
const (
	AggCount    Agg = "count"    // number of events
	AggSum      Agg = "sum"      // sum of a numeric field
	AggAvg      Agg = "avg"      // mean of a numeric field
	AggUniques  Agg = "uniques"  // number of distinct values of a field; of users when the field is empty
	AggQuantile Agg = "quantile" // linear interpolation between the closest ranks (n−1 basis)
)

// Field is one typed column of an event. Its zero value means no field.
type Field struct {
	// Name matches [a-z][a-z0-9_]* and has at most 64 bytes: safe to use as an identifier.
	Name string
	// Kind is reflect.String, Int64, Float64 or Bool. Booleans aggregate as 0 and 1.
	Kind reflect.Kind
}

// Filter keeps the events whose field equals a value. An event that lacks the field never matches.
type Filter struct {
	Field Field
	// Value is a string, int64, float64 or bool, as Field.Kind says.
	Value any
}

// Query is one aggregation over the events of one tenant. All values may come from users; only field names are checked.
type Query struct {
	Tenant   string
	Event    string
	Agg      Agg
	Field    Field   // aggregated; zero for AggCount and for AggUniques of users
	Quantile float64 // in [0, 1], for AggQuantile
	Where    []Filter
	From, To time.Time // From inclusive, To exclusive, at most millisecond precision
	// Buckets are the ascending starts of the buckets; the first is at or before From, the last ends at To. An event
	// belongs to the last bucket that starts at or before it. Empty means one bucket for the whole range, whose rows
	// have a zero Bucket.
	Buckets []time.Time
	// By splits the result by the text of a field's value; an event that lacks the field is in group "". Zero: one group.
	By Field
	// Limit keeps only the groups with the most events (ties: by name). It is positive when By is set.
	Limit int
}

// Row is one number of a query's result.
type Row struct {
	Bucket time.Time
	Group  string
	Value  float64
	// Events is how many events the value was computed from; with a Field, only those that have it.
	Events int64
}
