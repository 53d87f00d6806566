package sqlexpr

import (
	"errors"
	"math"
	"time"
)

// Env is what an expression is evaluated in.
type Env struct {
	Column func(table, name string) (any, bool) // plain values
	Param  func(n int) (any, bool)              // plain values
	Now    time.Time
}

// Eval computes n; the result is a plain value.
func Eval(n Node, env *Env) (any, error) { return n.eval(env) }

// True tells whether a condition holds: null does not.
func True(n Node, env *Env) (bool, error) {
	v, err := n.eval(env)
	if err != nil || v == nil {
		return false, err
	}
	return boolean(v)
}

func boolean(v any) (bool, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return false, fault("42804", "a condition must be boolean, not %s", kindOf(v))
}

func (n *literal) eval(*Env) (any, error) { return n.value, nil }

func (n *Column) eval(env *Env) (any, error) {
	if env.Column != nil {
		if v, ok := env.Column(n.Table, n.Name); ok {
			return v, nil
		}
	}
	return nil, fault("42703", "column %q does not exist", n.Name)
}

func (n *Param) eval(env *Env) (any, error) {
	if env.Param != nil {
		if v, ok := env.Param(n.N); ok {
			return v, nil
		}
	}
	return nil, fault("42P02", "there is no parameter $%d", n.N)
}

func (n *Binary) eval(env *Env) (any, error) {
	switch n.Op {
	case "and", "or":
		return n.logic(env)
	case "=", "<>", "<", ">", "<=", ">=":
		return compareNodes(n.Op, n.Left, n.Right, env)
	}
	l, err := n.Left.eval(env)
	if err != nil {
		return nil, err
	}
	r, err := n.Right.eval(env)
	if err != nil || l == nil || r == nil {
		return nil, err
	}
	switch n.Op {
	case "+", "-", "*", "/", "%":
		return arithmetic(n.Op, l, r)
	}
	return textOperator(n.Op, l, r)
}

// logic is three-valued. Both operands are evaluated only if the first does not decide.
func (n *Binary) logic(env *Env) (any, error) {
	decides := n.Op == "or"
	unknown := false
	for _, side := range []Node{n.Left, n.Right} {
		v, err := side.eval(env)
		if err != nil {
			return nil, err
		}
		if v == nil {
			unknown = true
			continue
		}
		b, err := boolean(v)
		if err != nil {
			return nil, err
		}
		if b == decides {
			return decides, nil
		}
	}
	if unknown {
		return nil, nil
	}
	return !decides, nil
}

func compareNodes(op string, left, right Node, env *Env) (any, error) {
	l, lok := left.(*rowOf)
	r, rok := right.(*rowOf)
	if lok && rok {
		return compareRows(op, l, r, env)
	}
	a, err := left.eval(env)
	if err != nil {
		return nil, err
	}
	b, err := right.eval(env)
	if err != nil {
		return nil, err
	}
	return compareValues(op, a, b)
}

func compareValues(op string, a, b any) (any, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	if op == "=" || op == "<>" {
		a, b = alike(a, b)
	}
	c, err := Compare(a, b)
	if err != nil {
		return nil, err
	}
	return holds(op, c), nil
}

// alike lets json be compared with text for equality.
func alike(a, b any) (any, any) {
	if j, ok := a.(JSON); ok {
		a = string(j)
	}
	if j, ok := b.(JSON); ok {
		b = string(j)
	}
	return a, b
}

func holds(op string, c int) bool {
	switch op {
	case "=":
		return c == 0
	case "<>":
		return c != 0
	case "<":
		return c < 0
	case ">":
		return c > 0
	case "<=":
		return c <= 0
	}
	return c >= 0
}

// compareRows compares from left to right; the first pair that differs decides, and a null on the way makes it unknown.
func compareRows(op string, l, r *rowOf, env *Env) (any, error) {
	if len(l.items) != len(r.items) {
		return nil, fault("42601", "unequal number of entries in row expressions")
	}
	unknown := false
	for i := range l.items {
		eq, err := compareNodes("=", l.items[i], r.items[i], env)
		if err != nil {
			return nil, err
		}
		switch {
		case eq == nil && (op == "=" || op == "<>"):
			unknown = true
			continue
		case eq == nil:
			return nil, nil
		case eq == true:
			continue
		case op == "=":
			return false, nil
		case op == "<>":
			return true, nil
		}
		return compareNodes(op, l.items[i], r.items[i], env)
	}
	if unknown {
		return nil, nil
	}
	return holds(op, 0), nil
}

func (n *unary) eval(env *Env) (any, error) {
	v, err := n.x.eval(env)
	if err != nil || v == nil {
		return nil, err
	}
	if n.op == "not" {
		b, err := boolean(v)
		return !b, err
	}
	switch v := v.(type) {
	case int64:
		if v == math.MinInt64 {
			return nil, errRange
		}
		return -v, nil
	case float64:
		return -v, nil
	case time.Duration:
		return -v, nil
	}
	return nil, notUnderstood("- before %s", kindOf(v))
}

func (n *isNull) eval(env *Env) (any, error) {
	v, err := n.x.eval(env)
	return (v == nil) != n.not, err
}

func (n *isBool) eval(env *Env) (any, error) {
	v, err := n.x.eval(env)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return n.not, nil
	}
	b, err := boolean(v)
	return (b == n.want) != n.not, err
}

func (n *distinct) eval(env *Env) (any, error) {
	a, err := n.left.eval(env)
	if err != nil {
		return nil, err
	}
	b, err := n.right.eval(env)
	if err != nil {
		return nil, err
	}
	if a == nil || b == nil {
		return ((a == nil) != (b == nil)) != n.not, nil
	}
	differs, err := compareValues("<>", a, b)
	return (differs == true) != n.not, err
}

func (n *in) eval(env *Env) (any, error) {
	unknown := false
	for _, item := range n.list {
		eq, err := compareNodes("=", n.x, item, env)
		switch {
		case err != nil:
			return nil, err
		case eq == true:
			return true, nil
		case eq == nil:
			unknown = true
		}
	}
	if unknown {
		return nil, nil
	}
	return false, nil
}

func (n *between) eval(env *Env) (any, error) {
	both := &Binary{"and", &Binary{">=", n.x, n.low}, &Binary{"<=", n.x, n.high}}
	return both.eval(env)
}

func (n *quant) eval(env *Env) (any, error) {
	x, err := n.x.eval(env)
	if err != nil {
		return nil, err
	}
	v, err := n.array.eval(env)
	if err != nil || v == nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, notUnderstood("any or all of %s", kindOf(v))
	}
	unknown := false
	for _, item := range list {
		c, err := compareValues(n.op, x, item)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			unknown = true
		case c == !n.all:
			return !n.all, nil
		}
	}
	if unknown {
		return nil, nil
	}
	return n.all, nil
}

func (n *rowOf) eval(*Env) (any, error) {
	return nil, notUnderstood("a row outside of a comparison of rows")
}

func (n *arrayOf) eval(env *Env) (any, error) {
	list := make([]any, len(n.items))
	for i, item := range n.items {
		v, err := item.eval(env)
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}

func (n *caseOf) eval(env *Env) (any, error) {
	for _, w := range n.whens {
		cond := w[0]
		if n.operand != nil {
			cond = &Binary{"=", n.operand, w[0]}
		}
		ok, err := True(cond, env)
		if err != nil {
			return nil, err
		}
		if ok {
			return w[1].eval(env)
		}
	}
	if n.other == nil {
		return nil, nil
	}
	return n.other.eval(env)
}

var (
	errRange  = error(&Error{"22003", "value out of range"})
	errByZero = error(&Error{"22012", "division by zero"})
)

// Code returns the SQLSTATE of an error of this package, or "".
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
