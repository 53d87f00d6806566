package sqlexpr

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

func known(name string) bool {
	switch name {
	case "now", "statement_timestamp", "transaction_timestamp", "clock_timestamp", "coalesce", "nullif", "greatest", "least",
		"lower", "upper", "length", "char_length", "trim", "btrim", "abs", "starts_with", "concat", "cardinality":
		return true
	}
	return false
}

func (n *call) eval(env *Env) (any, error) {
	args := make([]any, len(n.args))
	for i, a := range n.args {
		v, err := a.eval(env)
		if err != nil {
			return nil, err
		}
		if n.name == "coalesce" && v != nil {
			return v, nil
		}
		args[i] = v
	}
	switch n.name {
	case "now", "statement_timestamp", "transaction_timestamp", "clock_timestamp":
		return env.Now, n.arity(0)
	case "coalesce":
		return nil, nil
	case "greatest", "least":
		return extreme(n.name, args)
	case "nullif":
		if err := n.arity(2); err != nil {
			return nil, err
		}
		if eq, err := compareValues("=", args[0], args[1]); err != nil || eq == true {
			return nil, err
		}
		return args[0], nil
	case "concat":
		var b strings.Builder
		for _, a := range args {
			s, ok := text(a)
			if a != nil && !ok {
				return nil, notUnderstood("concat of %s", kindOf(a))
			}
			b.WriteString(s)
		}
		return b.String(), nil
	case "starts_with":
		if err := n.arity(2); err != nil || args[0] == nil || args[1] == nil {
			return nil, err
		}
		return textOperator("^@", args[0], args[1])
	}
	if err := n.arity(1); err != nil || args[0] == nil {
		return nil, err
	}
	return n.one(args[0])
}

// one is a function of one argument that is not null.
func (n *call) one(v any) (any, error) {
	switch v := v.(type) {
	case string:
		switch n.name {
		case "lower":
			return strings.ToLower(v), nil
		case "upper":
			return strings.ToUpper(v), nil
		case "length", "char_length":
			return int64(utf8.RuneCountInString(v)), nil
		case "trim", "btrim":
			return strings.Trim(v, " "), nil
		}
	case int64:
		if n.name == "abs" && v != math.MinInt64 {
			return max(v, -v), nil
		}
	case float64:
		if n.name == "abs" {
			return math.Abs(v), nil
		}
	case []any:
		if n.name == "cardinality" {
			return int64(len(v)), nil
		}
	}
	return nil, notUnderstood("%s of %s", n.name, kindOf(v))
}

func (n *call) arity(want int) error {
	if len(n.args) != want {
		return notUnderstood("%s with %d arguments", n.name, len(n.args))
	}
	return nil
}

// extreme ignores nulls.
func extreme(name string, args []any) (best any, err error) {
	for _, a := range args {
		if a == nil {
			continue
		}
		if best == nil {
			best = a
			continue
		}
		c, err := Compare(a, best)
		if err != nil {
			return nil, err
		}
		if c > 0 == (name == "greatest") && c != 0 {
			best = a
		}
	}
	return best, nil
}

func (n *cast) eval(env *Env) (any, error) {
	v, err := n.x.eval(env)
	if err != nil || v == nil {
		return nil, err
	}
	switch n.to {
	case "interval":
		if s, ok := v.(string); ok {
			return interval(s)
		}
	case "text", "varchar":
		if s, ok := text(v); ok {
			return s, nil
		}
		if j, ok := v.(JSON); ok {
			return string(j), nil
		}
		return nil, notUnderstood("a cast of %s to text", kindOf(v))
	case "int", "integer", "bigint", "int4", "int8", "smallint", "int2":
		return toInteger(v)
	case "float", "float8", "double …", "numeric", "real", "decimal":
		if i, ok := v.(int64); ok {
			return float64(i), nil
		}
	case "timestamptz", "timestamp …":
		if s, ok := v.(string); ok {
			t, err := time.Parse(time.RFC3339Nano, s)
			if err != nil {
				return nil, notUnderstood("a time that is not RFC 3339")
			}
			return Plain(t), nil
		}
	}
	return v, nil
}

func toInteger(v any) (any, error) {
	switch v := v.(type) {
	case float64:
		r := math.RoundToEven(v)
		if r >= -1<<63 && r < 1<<63 {
			return int64(r), nil
		}
		return nil, errRange
	case string:
		i, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		if err != nil {
			return nil, fault("22P02", "invalid input syntax for type integer")
		}
		return i, nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	}
	return v, nil
}

// interval reads "3 days", "1 hour 30 minutes" and the like. Months are no fixed time, so they are not understood.
func interval(s string) (any, error) {
	fields := strings.Fields(s)
	var sum time.Duration
	for i := 0; i+1 < len(fields); i += 2 {
		count, err := strconv.ParseInt(fields[i], 10, 32)
		unit := unitOf(strings.TrimSuffix(fields[i+1], "s"))
		if err != nil || unit == 0 {
			return nil, notUnderstood("the interval %q", s)
		}
		if limit := int64(maxInterval / unit); count > limit || count < -limit || i > 10 {
			return nil, fault("22008", "interval out of range")
		}
		sum += time.Duration(count) * unit
	}
	if len(fields) == 0 || len(fields)%2 != 0 {
		return nil, notUnderstood("the interval %q", s)
	}
	return sum, nil
}

// maxInterval leaves room for sums.
const maxInterval = 10 * 365 * 24 * time.Hour

func unitOf(name string) time.Duration {
	switch name {
	case "microsecond":
		return time.Microsecond
	case "millisecond":
		return time.Millisecond
	case "second", "sec":
		return time.Second
	case "minute", "min":
		return time.Minute
	case "hour":
		return time.Hour
	case "day":
		return 24 * time.Hour
	case "week":
		return 7 * 24 * time.Hour
	}
	return 0
}
