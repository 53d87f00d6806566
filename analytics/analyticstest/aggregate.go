package analyticstest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/ashlar-go/ashlar/analytics"
)

// props are the decoded properties of a record; numbers are json.Number.
type props map[string]any

func decode(raw json.RawMessage) (props, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var p props
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("analyticstest: properties are not a JSON object: %w", err)
	}
	return p, nil
}

// text returns a field's value as it appears in groups, and whether the event has it.
func (p props) text(f analytics.Field) (string, bool) {
	if f.Kind == reflect.Float64 {
		n, ok := p.number(f)
		return strconv.FormatFloat(n, 'g', -1, 64), ok
	}
	switch v := p[f.Name].(type) {
	case string:
		return v, f.Kind == reflect.String
	case bool:
		return strconv.FormatBool(v), f.Kind == reflect.Bool
	case json.Number:
		_, err := v.Int64()
		return v.String(), err == nil && f.Kind == reflect.Int64
	}
	return "", false
}

// number returns a numeric or boolean field's value, whichever of these types it was recorded with.
func (p props) number(f analytics.Field) (float64, bool) {
	switch v := p[f.Name].(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case json.Number:
		n, err := v.Float64()
		return n, err == nil
	}
	return 0, false
}

func (p props) matches(f analytics.Filter) bool {
	switch want := f.Value.(type) {
	case int64:
		n, ok := p.text(f.Field)
		return ok && n == strconv.FormatInt(want, 10)
	case float64:
		n, ok := p.number(f.Field)
		return ok && n == want
	default:
		s, ok := p.text(f.Field)
		return ok && s == fmt.Sprint(want)
	}
}

type cell struct {
	group  string
	bucket time.Time
}

// sample is what an aggregation needs of the events in one cell.
type sample struct {
	events  int64
	numbers []float64
	texts   map[string]bool
}

// aggregate answers a query by going through all records.
func aggregate(records []analytics.Record, q analytics.Query) ([]analytics.Row, error) {
	cells := map[cell]*sample{}
	for _, r := range records {
		if r.Tenant != q.Tenant || r.Name != q.Event || r.Time.Before(q.From) || !r.Time.Before(q.To) {
			continue
		}
		p, err := decode(r.Props)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(q.Where, func(f analytics.Filter) bool { return !p.matches(f) }) {
			continue
		}
		c := cell{}
		if q.By.Name != "" {
			c.group, _ = p.text(q.By)
		}
		if len(q.Buckets) > 0 {
			i, exact := slices.BinarySearchFunc(q.Buckets, r.Time, time.Time.Compare)
			if !exact {
				i--
			}
			c.bucket = q.Buckets[max(i, 0)].UTC()
		}
		s := cells[c]
		if s == nil {
			s = &sample{texts: map[string]bool{}}
		}
		if s.add(r, p, q) {
			cells[c] = s
		}
	}
	var rows []analytics.Row
	for c, s := range cells {
		rows = append(rows, analytics.Row{Bucket: c.bucket, Group: c.group, Value: s.value(q), Events: s.events})
	}
	return top(rows, q), nil
}

// add reports whether the event counts: with a field, only one that has it does.
func (s *sample) add(r analytics.Record, p props, q analytics.Query) bool {
	switch {
	case q.Agg == analytics.AggCount:
	case q.Agg == analytics.AggUniques:
		text, ok := r.User, r.User != ""
		if q.Field.Name != "" {
			text, ok = p.text(q.Field)
		}
		if !ok {
			return false
		}
		s.texts[text] = true
	default:
		n, ok := p.number(q.Field)
		if !ok {
			return false
		}
		s.numbers = append(s.numbers, n)
	}
	s.events++
	return true
}

func (s *sample) value(q analytics.Query) float64 {
	sum := 0.0
	for _, n := range s.numbers {
		sum += n
	}
	switch q.Agg {
	case analytics.AggSum:
		return sum
	case analytics.AggAvg:
		return sum / float64(len(s.numbers))
	case analytics.AggUniques:
		return float64(len(s.texts))
	case analytics.AggQuantile:
		slices.Sort(s.numbers)
		at := q.Quantile * float64(len(s.numbers)-1)
		low := int(at)
		high := min(low+1, len(s.numbers)-1)
		return s.numbers[low] + (at-float64(low))*(s.numbers[high]-s.numbers[low])
	}
	return float64(s.events)
}

// top keeps the rows of the groups with the most events.
func top(rows []analytics.Row, q analytics.Query) []analytics.Row {
	if q.By.Name == "" {
		return rows
	}
	events := map[string]int64{}
	for _, r := range rows {
		events[r.Group] += r.Events
	}
	var groups []string
	for g := range events {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b string) int {
		return cmp.Or(cmp.Compare(events[b], events[a]), cmp.Compare(a, b))
	})
	groups = groups[:min(len(groups), q.Limit)]
	return slices.DeleteFunc(rows, func(r analytics.Row) bool { return !slices.Contains(groups, r.Group) })
}
