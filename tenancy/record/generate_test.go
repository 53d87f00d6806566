package record_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator writes random, well-typed conditions on app.notes, with as few parentheses as their meaning allows, so that
// precedence is tested too.
type generator struct {
	*rand.Rand
	args []any
}

func (g *generator) pick(options ...func() string) string { return options[g.IntN(len(options))]() }

func (g *generator) word() string {
	return []string{"", "a", "b", "ab", "ba", "a%", "_b", "t1", "A"}[g.IntN(9)]
}

func (g *generator) param(v any, kind string) string {
	g.args = append(g.args, v)
	return fmt.Sprintf("$%d::%s", len(g.args), kind)
}

func (g *generator) one(of ...string) func() string {
	return func() string { return of[g.IntN(len(of))] }
}

// text is an operand that binds tighter than any comparison.
func (g *generator) text(depth int) string {
	leaf := []func() string{
		g.one("title", "t.title", "title_lc", "slug", `"slug"`, "null::text", "(meta->>'color')"),
		func() string { return "'" + g.word() + "'" },
		func() string { return g.param(g.word(), "text") },
	}
	if depth == 0 {
		return g.pick(leaf...)
	}
	d := depth - 1
	return g.pick(append(leaf,
		func() string { return g.one("lower", "upper", "trim")() + "(" + g.text(d) + ")" },
		func() string {
			return g.one("coalesce", "greatest", "least")() + "(" + g.text(d) + ", " + g.text(d) + ")"
		},
		func() string { return "nullif(" + g.text(d) + ", " + g.text(d) + ")" },
		func() string { return g.text(d) + " || " + g.text(d) },
		func() string { return "case when " + g.cond(d) + " then " + g.text(d) + " else " + g.text(d) + " end" },
		func() string { return "(" + g.integer(d) + ")::text" },
	)...)
}

func (g *generator) integer(depth int) string {
	leaf := []func() string{
		g.one("stars", "t.stars", "cardinality(tags)", "null::bigint"),
		func() string { return fmt.Sprint(g.IntN(5)) },
		func() string { return g.param(g.IntN(5), "bigint") },
	}
	if depth == 0 {
		return g.pick(leaf...)
	}
	d := depth - 1
	return g.pick(append(leaf,
		func() string { return g.integer(d) + g.one(" + ", " - ", " * ")() + g.integer(0) },
		func() string { return g.integer(0) + g.one(" / 2", " % 3", " / -3", " % -2")() },
		func() string { return "- " + g.integer(0) },
		func() string { return "abs(" + g.integer(d) + ")" },
		func() string { return "length(" + g.text(d) + ")" },
		func() string {
			return g.one("coalesce", "greatest", "least")() + "(" + g.integer(d) + ", " + g.integer(d) + ")"
		},
		func() string {
			return "case " + g.integer(d) + " when " + g.integer(d) + " then " + g.integer(d) + " end"
		},
		func() string { return "(" + g.integer(d) + ")" },
	)...)
}

func (g *generator) number(depth int) string {
	return g.pick(g.one("ratio", "price", "0.5", "ratio + 0.25", "price * 2", "- ratio", "1e0", ".25"), func() string { return g.integer(depth) })
}

func (g *generator) time(int) string {
	return g.pick(g.one("due", "'1970-01-01T00:00:00.000001Z'::timestamptz", "due + interval '1 microsecond'",
		"due - interval '2 microseconds'", "null::timestamptz", "coalesce(due, '1970-01-01T00:00:00Z'::timestamptz)"))
}

// compared are two operands of one type with a sign between them.
func (g *generator) compared(depth int, sign func() string) string {
	operand := []func(int) string{g.text, g.integer, g.number, g.time, func(d int) string { return "(" + g.cond(d) + ")" }}[g.IntN(5)]
	return operand(depth) + sign() + operand(depth)
}

func (g *generator) comparison() string {
	return g.one(" = ", " <> ", " < ", " > ", " <= ", " >= ", " != ")()
}

// cond is a condition.
func (g *generator) cond(depth int) string {
	leaf := []func() string{g.one("open", "true", "false", "slug is null", "due is not null", "null::boolean")}
	if depth == 0 {
		return g.pick(leaf...)
	}
	d := depth - 1
	not := g.one("", "not ")
	return g.pick(append(leaf,
		func() string { return g.cond(d) + " and " + g.cond(d) },
		func() string { return g.cond(d) + " or " + g.cond(d) },
		func() string { return "not " + g.cond(d) },
		func() string { return "(" + g.cond(d) + ")" },
		func() string { return g.compared(d, g.comparison) },
		func() string { return g.compared(d, g.comparison) },
		func() string { return g.compared(d, g.one(" is distinct from ", " is not distinct from ")) },
		func() string { return g.text(d) + " is " + not() + "null" },
		func() string { return "(" + g.cond(d) + ") is " + not() + g.one("true", "false")() },
		func() string { return g.text(d) + " " + not() + g.one("like ", "ilike ")() + g.text(0) },
		func() string { return g.text(d) + " ^@ " + g.text(0) },
		func() string { return "starts_with(" + g.text(d) + ", " + g.text(0) + ")" },
		func() string { return g.text(d) + " " + not() + "in (" + g.text(d) + ", " + g.text(0) + ")" },
		func() string { return g.integer(d) + " " + not() + "in (1, " + g.integer(0) + ")" },
		func() string { return g.integer(d) + " " + not() + "between " + g.integer(d) + " and " + g.integer(d) },
		func() string { return g.text(d) + " " + not() + "between " + g.text(d) + " and " + g.text(d) },
		func() string { return g.text(d) + " = any(tags)" },
		func() string { return g.integer(d) + g.comparison() + g.one("any", "all")() + "(scores)" },
		func() string {
			return g.text(d) + g.comparison() + g.one("any", "all")() + "(" + g.param([]string{g.word(), g.word()}, "text[]") + ")"
		},
		func() string {
			return "(stars, title, " + g.text(0) + ")" + g.comparison() + "(" + g.integer(d) + ", " + g.text(0) + ", slug)"
		},
	)...)
}

// condition returns a condition and its arguments.
func (g *generator) condition() (string, []any) {
	g.args = nil
	for {
		text := g.cond(3)
		if len(text) < 2000 && strings.Count(text, "(") < 80 {
			return text, g.args
		}
		g.args = nil
	}
}
