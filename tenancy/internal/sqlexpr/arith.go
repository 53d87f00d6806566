package sqlexpr

import (
	"encoding/json"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

func arithmetic(op string, l, r any) (any, error) {
	switch a := l.(type) {
	case int64:
		switch b := r.(type) {
		case int64:
			return integers(op, a, b)
		case float64:
			return floats(op, float64(a), b)
		case time.Duration:
			if op == "*" {
				return scale(b, a)
			}
		}
	case float64:
		switch b := r.(type) {
		case int64:
			return floats(op, a, float64(b))
		case float64:
			return floats(op, a, b)
		}
	case time.Time:
		switch b := r.(type) {
		case time.Duration:
			switch op {
			case "+":
				return a.Add(b).Truncate(time.Microsecond), nil
			case "-":
				return a.Add(-b).Truncate(time.Microsecond), nil
			}
		case time.Time:
			if op == "-" {
				return a.Sub(b), nil
			}
		}
	case time.Duration:
		switch b := r.(type) {
		case time.Duration:
			switch op {
			case "+":
				return a + b, nil
			case "-":
				return a - b, nil
			}
		case time.Time:
			if op == "+" {
				return b.Add(a).Truncate(time.Microsecond), nil
			}
		case int64:
			if op == "*" {
				return scale(a, b)
			}
		}
	}
	return nil, notUnderstood("%s %s %s", kindOf(l), op, kindOf(r))
}

func integers(op string, a, b int64) (any, error) {
	switch op {
	case "+":
		if c := a + b; (c > a) == (b > 0) {
			return c, nil
		}
		return nil, errRange
	case "-":
		if c := a - b; (c < a) == (b > 0) {
			return c, nil
		}
		return nil, errRange
	case "*":
		return multiply(a, b)
	}
	switch {
	case b == 0:
		return nil, errByZero
	case b == -1 && op == "/" && a == math.MinInt64:
		return nil, errRange
	case b == -1 && op == "%":
		return int64(0), nil
	case op == "/":
		return a / b, nil
	}
	return a % b, nil
}

func multiply(a, b int64) (any, error) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if negative := (a < 0) != (b < 0); hi == 0 && (lo <= math.MaxInt64 || negative && lo == 1<<63) {
		return a * b, nil
	}
	return nil, errRange
}

func scale(d time.Duration, by int64) (any, error) {
	n, err := multiply(int64(d), by)
	if err != nil {
		return nil, err
	}
	return time.Duration(n.(int64)), nil
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func floats(op string, a, b float64) (any, error) {
	switch op {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "/":
		if b == 0 {
			return nil, errByZero
		}
		return a / b, nil
	}
	return nil, notUnderstood("%s of numbers with fractions", op)
}

func textOperator(op string, l, r any) (any, error) {
	if op == "->" || op == "->>" {
		return jsonField(op, l, r)
	}
	a, aok := text(l)
	b, bok := text(r)
	if !aok || !bok {
		return nil, notUnderstood("%s %s %s", kindOf(l), op, kindOf(r))
	}
	switch op {
	case "||":
		return a + b, nil
	case "^@":
		return strings.HasPrefix(a, b), nil
	case "like":
		return like(a, b)
	}
	return like(strings.ToLower(a), strings.ToLower(b))
}

// text is what PostgreSQL makes text of without being asked.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// like matches % and _, with \ before a sign that stands for itself. It goes back to the last % only, so its time is
// bounded by the product of the lengths.
func like(s, pattern string) (any, error) {
	str, pat := []rune(s), []rune(pattern)
	i, j, star, from := 0, 0, -1, 0
	for i < len(str) {
		switch {
		case j < len(pat) && pat[j] == '%':
			star, from = j, i
			j++
			continue
		case j < len(pat) && pat[j] == '_':
			i, j = i+1, j+1
			continue
		case j < len(pat):
			k := j
			if pat[k] == '\\' {
				if k++; k == len(pat) {
					return nil, fault("22025", "LIKE pattern must not end with escape character")
				}
			}
			if pat[k] == str[i] {
				i, j = i+1, k+1
				continue
			}
		}
		if star < 0 {
			return false, nil
		}
		from++
		i, j = from, star+1
	}
	for j < len(pat) && pat[j] == '%' {
		j++
	}
	return j == len(pat), nil
}

func jsonField(op string, l, r any) (any, error) {
	doc, ok := l.(JSON)
	key, isText := r.(string)
	if !ok || !isText {
		return nil, notUnderstood("%s %s %s", kindOf(l), op, kindOf(r))
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(doc), &object) != nil || object[key] == nil {
		return nil, nil
	}
	value := object[key]
	if op == "->" {
		return JSON(value), nil
	}
	var s string
	switch {
	case string(value) == "null":
		return nil, nil
	case json.Unmarshal(value, &s) == nil:
		return s, nil
	}
	return string(value), nil
}
