package crontest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// column is what a field of an expression may say.
type column struct {
	min, max int
	names    []string // from min on
	special  []string // forms of gronx alone, with %d for a value
}

var columns = []column{
	{min: 0, max: 59},
	{min: 0, max: 59},
	{min: 0, max: 23},
	{min: 1, max: 31, special: []string{"L", "%dW"}},
	{min: 1, max: 12, names: strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
	{min: 0, max: 6, names: strings.Fields("sun mon tue wed thu fri sat"), special: []string{"%dL", "%d#1", "%d#2", "%d#5"}},
}

var macros = strings.Fields("@yearly @annually @monthly @weekly @daily @hourly")

// expression makes a random one that package jobs accepts; few of them never fire.
func expression(r *rand.Rand) string {
	if r.IntN(50) == 0 {
		return macros[r.IntN(len(macros))]
	}
	used := columns[1:]
	if r.IntN(3) == 0 {
		used = columns
	}
	special := r.IntN(4) == 0
	fields := make([]string, len(used))
	for i, c := range used {
		fields[i] = c.field(r, special)
	}
	return strings.Join(fields, " ")
}

func (c column) field(r *rand.Rand, special bool) string {
	switch r.IntN(5) {
	case 0, 1:
		return "*"
	case 2:
		return fmt.Sprintf("*/%d", 1+r.IntN(c.max))
	}
	parts := make([]string, 1+r.IntN(3))
	for i := range parts {
		parts[i] = c.part(r, special)
	}
	return strings.Join(parts, ",")
}

func (c column) part(r *rand.Rand, special bool) string {
	low := c.min + r.IntN(c.max-c.min+1)
	high := low + r.IntN(c.max-low+1)
	step := 1 + r.IntN(c.max)
	switch r.IntN(6) {
	case 0:
		if special && len(c.special) > 0 {
			form := c.special[r.IntN(len(c.special))]
			if strings.Contains(form, "%d") {
				form = fmt.Sprintf(form, low)
			}
			return form
		}
		return fmt.Sprint(low)
	case 1:
		return fmt.Sprintf("%d-%d", low, high)
	case 2:
		return fmt.Sprintf("%d-%d/%d", low, high, step)
	case 3:
		return fmt.Sprintf("%d/%d", low, step)
	case 4:
		if c.names != nil {
			name := c.names[low-c.min]
			if r.IntN(2) == 0 {
				name = strings.ToUpper(name)
			}
			return name
		}
	}
	return fmt.Sprint(low)
}

// readByRobfig tells whether an expression means the same to robfig/cron by design.
func readByRobfig(spec string) bool {
	if strings.HasPrefix(spec, "@") {
		return true
	}
	f := strings.Fields(spec)
	dom, dow := f[len(f)-3], f[len(f)-1]
	if strings.ContainsAny(dom+dow, "LlWw#?") || strings.Contains(dow, "7") && !strings.Contains(dow, "/") {
		return false
	}
	stepped := func(day string) bool { return strings.HasPrefix(day, "*/") || strings.Contains(day, ",*") }
	plain := func(day string) bool { return day == "*" }
	return !stepped(dom) && !stepped(dow) || plain(dom) || plain(dow)
}
