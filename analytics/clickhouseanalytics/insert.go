package clickhouseanalytics

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/ashlar-go/ashlar/analytics"
)

// insertColumns are the columns of an insert and their types, so that the driver need not ask the server before each batch.
var insertColumns = []clickhouse.ColumnNameAndType{
	{Name: "tenant", Type: "LowCardinality(String)"},
	{Name: "event", Type: "LowCardinality(String)"},
	{Name: "id", Type: "UUID"},
	{Name: "user_id", Type: "String"},
	{Name: "time", Type: "DateTime64(3, 'UTC')"},
	{Name: "props", Type: "JSON"},
}

// maxOrphans is how many tokens of one batch may be lost to killed servers before Insert gives up for this time.
const maxOrphans = 8

// Insert implements analytics.Store.
//
// ClickHouse writes a token down just before it puts the part in place. If it is killed between the two, it drops every
// repeat of an insert whose rows it does not have. So Insert looks whether they are there, and sends what is missing again
// under the next of a fixed row of tokens, which makes that repeatable too.
func (s *Store) Insert(ctx context.Context, b analytics.Batch) error {
	missing := b.Records
	for token := b.Token; len(missing) > 0; token += "+" {
		if len(token) > len(b.Token)+maxOrphans {
			return fmt.Errorf("clickhouseanalytics: insert %d events: the server accepts them and does not have them", len(missing))
		}
		err := s.insert(ctx, token, missing)
		if err != nil {
			return err
		}
		if missing, err = s.missing(ctx, missing); err != nil {
			return wrap(err, "look for inserted events")
		}
	}
	return nil
}

func (s *Store) insert(ctx context.Context, token string, records []analytics.Record) error {
	ctx = clickhouse.Context(ctx,
		clickhouse.WithColumnNamesAndTypes(insertColumns),
		clickhouse.WithSettings(clickhouse.Settings{
			"async_insert":               0,
			"insert_deduplicate":         1,
			"insert_deduplication_token": token,
			"deduplicate_blocks_in_dependent_materialized_views": 1,
			"max_partitions_per_insert_block":                    0, // a late event may open any month
			// Text that looks like a date stays text.
			"input_format_try_infer_dates":     0,
			"input_format_try_infer_datetimes": 0,
		}))
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+s.events+" (tenant, event, id, user_id, time, props)")
	if err != nil {
		return wrapInsert(err, len(records))
	}
	defer batch.Close()
	if err := fill(batch, records); err != nil {
		// The driver could not encode a value: no repeat will change that.
		return fmt.Errorf("clickhouseanalytics: %w: %w", analytics.ErrRejected, err)
	}
	if err := batch.Send(); err != nil {
		return wrapInsert(err, len(records))
	}
	return nil
}

// missing returns the records whose part the table does not have. A part holds the records of one month, all or none, so
// one of each month stands for the others.
func (s *Store) missing(ctx context.Context, records []analytics.Record) ([]analytics.Record, error) {
	absent := map[string]bool{} // by month
	var some bool
	for _, r := range records {
		if _, seen := absent[month(r.Time)]; seen {
			continue
		}
		has, err := s.has(ctx, r)
		if err != nil {
			return nil, err
		}
		absent[month(r.Time)] = !has
		some = some || !has
	}
	if !some {
		return nil, nil
	}
	var out []analytics.Record
	for _, r := range records {
		if absent[month(r.Time)] {
			out = append(out, r)
		}
	}
	return out, nil
}

// month is what the table is partitioned by.
func month(t time.Time) string { return t.UTC().Format("200601") }

func (s *Store) has(ctx context.Context, r analytics.Record) (bool, error) {
	st := &statement{}
	text := "SELECT count() FROM " + s.events + " WHERE tenant = " + st.param("String", r.Tenant) +
		" AND event = " + st.param("String", r.Name) + " AND id = " + st.param("UUID", r.ID) +
		" AND time = fromUnixTimestamp64Milli(" + st.param("Int64", fmt.Sprint(r.Time.UnixMilli())) + ", 'UTC')"
	var n uint64
	err := s.conn.QueryRow(s.walled(ctx, r.Tenant), text, st.args...).Scan(&n)
	return n > 0, err
}
