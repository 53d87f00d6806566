package clickhouseanalytics_test

import (
	"errors"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/clickhouseanalytics"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// What events and filters hold may be personal: the text of an error, which ends in logs, repeats none of it.
func TestErrorsRepeatNoValues(t *testing.T) {
	t.Parallel()
	const value = "ann@example.com"
	ch := testenv.ClickHouse(t)
	proxy := testenv.Proxy(t, ch.Addr)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{proxy.Addr}, Protocol: clickhouse.HTTP, Auth: clickhouse.Auth{Database: ch.Database},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	store, err := clickhouseanalytics.New(conn, nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))

	err = store.Insert(t.Context(), analytics.Batch{Token: "x", Records: []analytics.Record{
		{ID: "018e2f6a-0000-7000-8000-000000000001", Name: "x", Time: noon, Props: []byte(`{"mail":"` + value + `","a":`)},
	}})
	require.NotContains(t, err.Error(), value)
	require.ErrorContains(t, err, "117 (INCORRECT_DATA)")
	ex, ok := errors.AsType[*clickhouse.Exception](err)
	require.True(t, ok)
	require.Contains(t, ex.Message, value, "who wants it can have it")

	q := analytics.Query{
		Tenant: "acme", Event: "x", Agg: analytics.AggCount, From: noon, To: noon.Add(time.Hour),
		Where: []analytics.Filter{{Field: analytics.Field{Name: "mail", Kind: reflect.String}, Value: value}},
	}
	_, err = store.Query(t.Context(), q)
	require.NoError(t, err)
	proxy.Cut() // the connection that is open now fails in the middle of the next query
	_, err = store.Query(t.Context(), q)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "ann")
	require.NotContains(t, err.Error(), "param_")
	failed, ok := errors.AsType[*url.Error](err)
	require.True(t, ok)
	require.Contains(t, failed.URL, "ann", "the driver's own error has it")
}
