package clickhouseanalytics

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/ashlar-go/ashlar/analytics"
)

// Query implements analytics.Store.
func (s *Store) Query(ctx context.Context, q analytics.Query) ([]analytics.Row, error) {
	st, err := s.statement(q)
	if err != nil {
		return nil, fmt.Errorf("clickhouseanalytics: query: %w", err)
	}
	rows, err := s.conn.Query(s.walled(ctx, q.Tenant), st.text, st.args...)
	if err != nil {
		return nil, wrap(err, "query")
	}
	defer rows.Close()
	var out []analytics.Row
	for rows.Next() {
		var r analytics.Row
		var bucket int64
		if err := rows.Scan(&bucket, &r.Group, &r.Value, &r.Events); err != nil {
			return nil, wrap(err, "query")
		}
		if len(q.Buckets) > 0 {
			r.Bucket = time.UnixMilli(bucket).UTC()
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(err, "query")
	}
	return out, nil
}

// walled returns a context whose queries see the events of one tenant only: the server adds the condition to every use of
// the table, and readonly keeps the query from changing that. The setting is a map from table to expression; the tenant
// is written in hexadecimal, so that neither level of quoting has anything to escape.
func (s *Store) walled(ctx context.Context, tenant string) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"readonly":                 1,
		"additional_table_filters": fmt.Sprintf(`{'%s':'tenant = unhex(\'%x\')'}`, s.events, tenant),
	}))
}

// statement is a query under construction. Only fixed text, checked names and numbers go into text; the rest are args.
type statement struct {
	text string
	args []any
}

// param adds a value and returns its placeholder.
func (st *statement) param(typ, value string) string {
	name := "p" + strconv.Itoa(len(st.args))
	st.args = append(st.args, clickhouse.Named(name, value))
	return "{" + name + ":" + typ + "}"
}

func (s *Store) statement(q analytics.Query) (*statement, error) {
	st := &statement{}
	value, n, err := aggregate(q)
	if err != nil {
		return nil, err
	}
	where, err := st.where(q)
	if err != nil {
		return nil, err
	}
	bucket, group := "toInt64(0)", "''"
	if len(q.Buckets) > 0 {
		starts := make([]string, len(q.Buckets))
		for i, b := range q.Buckets {
			starts[i] = strconv.FormatInt(b.UnixMilli(), 10)
		}
		// In the text, not as a parameter: parameters go into the URL, and proxies allow a few kilobytes there.
		bucket = "toInt64(roundDown(toUnixTimestamp64Milli(time), CAST('[" + strings.Join(starts, ",") + "]', 'Array(Int64)')))"
	}
	from := " FROM " + s.events + " WHERE " + where
	if q.By.Name != "" {
		text, err := textOf(q.By)
		if err != nil {
			return nil, err
		}
		group = "ifNull(" + text + ", '')"
		from += fmt.Sprintf(" AND %s IN (SELECT %s AS g%s GROUP BY g HAVING %s > 0 ORDER BY %s DESC, g LIMIT %d)",
			group, group, from, n, n, q.Limit)
	}
	st.text = fmt.Sprintf("SELECT %s AS b, %s AS g, ifNull(toFloat64(%s), 0) AS v, toInt64(%s) AS n%s GROUP BY b, g HAVING n > 0",
		bucket, group, value, n, from)
	return st, nil
}

// where is the condition of a query: the tenant, always, then the rest.
func (st *statement) where(q analytics.Query) (string, error) {
	conditions := []string{
		"tenant = " + st.param("String", q.Tenant),
		"event = " + st.param("String", q.Event),
		"time >= fromUnixTimestamp64Milli(" + st.param("Int64", strconv.FormatInt(q.From.UnixMilli(), 10)) + ")",
		"time < fromUnixTimestamp64Milli(" + st.param("Int64", strconv.FormatInt(q.To.UnixMilli(), 10)) + ")",
	}
	for _, f := range q.Where {
		c, err := st.filter(f)
		if err != nil {
			return "", err
		}
		conditions = append(conditions, c)
	}
	return strings.Join(conditions, " AND "), nil
}

func (st *statement) filter(f analytics.Filter) (string, error) {
	path, err := pathOf(f.Field)
	if err != nil {
		return "", err
	}
	switch v := f.Value.(type) {
	case string:
		return path + ".:String = " + st.param("String", v), nil
	case int64:
		return path + ".:Int64 = " + st.param("Int64", strconv.FormatInt(v, 10)), nil
	case bool:
		return path + ".:Bool = " + strconv.FormatBool(v), nil
	case float64:
		return numberOf(path) + " = " + st.param("Float64", strconv.FormatFloat(v, 'g', -1, 64)), nil
	}
	return "", fmt.Errorf("%w: filter value of type %T", analytics.ErrInvalid, f.Value)
}

// aggregate returns the expressions of the value and of the number of events behind it.
func aggregate(q analytics.Query) (value, n string, err error) {
	if q.Agg == analytics.AggCount {
		return "count()", "count()", nil
	}
	operand := "nullIf(user_id, '')"
	if q.Field.Name != "" || q.Agg != analytics.AggUniques {
		if operand, err = operandOf(q); err != nil {
			return "", "", err
		}
	}
	n = "count(" + operand + ")"
	switch q.Agg {
	case analytics.AggSum, analytics.AggAvg:
		return string(q.Agg) + "(" + operand + ")", n, nil
	case analytics.AggUniques:
		return "uniqCombined64(" + operand + ")", n, nil
	case analytics.AggQuantile:
		return "quantile(" + strconv.FormatFloat(q.Quantile, 'f', -1, 64) + ")(" + operand + ")", n, nil
	}
	return "", "", fmt.Errorf("%w: unknown aggregation %q", analytics.ErrInvalid, q.Agg)
}

func operandOf(q analytics.Query) (string, error) {
	if q.Agg == analytics.AggUniques && q.Field.Kind != reflect.Float64 {
		return textOf(q.Field)
	}
	path, err := pathOf(q.Field)
	return numberOf(path), err
}

// pathOf returns the JSON path of a field, whose name is the only text of a query that is not ours.
func pathOf(f analytics.Field) (string, error) {
	if !identifier.MatchString(f.Name) {
		return "", fmt.Errorf("%w: field name %q", analytics.ErrInvalid, f.Name)
	}
	return "props.`" + f.Name + "`", nil
}

// numberOf reads a number whatever the type it was stored with, NULL if there is none.
func numberOf(path string) string {
	return "coalesce(" + path + ".:Float64, toFloat64(" + path + ".:Int64), toFloat64(" + path + ".:Bool))"
}

// textOf reads a field as text, NULL if the event lacks it.
func textOf(f analytics.Field) (string, error) {
	path, err := pathOf(f)
	if err != nil {
		return "", err
	}
	switch f.Kind {
	case reflect.String:
		return path + ".:String", nil
	case reflect.Int64:
		return "toString(" + path + ".:Int64)", nil
	case reflect.Bool:
		return "toString(" + path + ".:Bool)", nil
	}
	return "", fmt.Errorf("%w: field %q of kind %v as text", analytics.ErrInvalid, f.Name, f.Kind)
}
