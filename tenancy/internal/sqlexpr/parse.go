package sqlexpr

import (
	"slices"
	"strconv"
)

// Parse reads an expression.
func Parse(text string) (Node, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	n, err := p.expr(0)
	if err != nil {
		return nil, err
	}
	return n, p.end()
}

// ParseSet reads the assignments of an UPDATE.
func ParseSet(text string) ([]Assign, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	var list []Assign
	for {
		t := p.next()
		if t.kind != tokWord && t.kind != tokQuoted {
			return nil, notUnderstood("an assignment that begins with %q", t.text)
		}
		if !p.symbol("=") {
			return nil, notUnderstood("an assignment without = after %q", t.text)
		}
		n, err := p.expr(0)
		if err != nil {
			return nil, err
		}
		list = append(list, Assign{t.text, n})
		if !p.symbol(",") {
			return list, p.end()
		}
	}
}

type parser struct {
	tokens []token
	depth  int
}

func newParser(text string) (*parser, error) {
	tokens, err := lex(text)
	return &parser{tokens: tokens}, err
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != tokEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) end() error {
	if t := p.peek(); t.kind != tokEnd {
		return notUnderstood("%q", t.text)
	}
	return nil
}

// symbol takes the sign if it is next; word takes the words if they are next.
func (p *parser) symbol(s string) bool {
	if t := p.peek(); t.kind == tokSymbol && t.text == s {
		p.next()
		return true
	}
	return false
}

func (p *parser) word(words ...string) bool {
	for i, w := range words {
		if i >= len(p.tokens) || p.tokens[i].kind != tokWord || p.tokens[i].text != w {
			return false
		}
	}
	p.tokens = p.tokens[len(words):]
	return true
}

func (p *parser) expectSymbol(s string) error {
	if !p.symbol(s) {
		return notUnderstood("%q where %q should be", p.peek().text, s)
	}
	return nil
}

// Binding powers, PostgreSQL's order of precedence.
const (
	powOr = iota + 1
	powAnd
	powNot
	powIs
	powCompare
	powIn // between, in, like
	powOther
	powAdd
	powMul
	powNeg
	powCast
)

func (p *parser) expr(min int) (Node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, notUnderstood("more than %d levels of nesting", maxDepth)
	}
	defer func() { p.depth-- }()
	left, err := p.prefix()
	for err == nil {
		pow := p.power()
		if pow <= min {
			return left, nil
		}
		left, err = p.infix(left, pow)
	}
	return nil, err
}

// power returns the binding power of what comes next, 0 if it continues no expression.
func (p *parser) power() int {
	switch t := p.peek(); t.kind {
	case tokWord:
		switch t.text {
		case "or":
			return powOr
		case "and":
			return powAnd
		case "is":
			return powIs
		case "in", "between", "like", "ilike":
			return powIn
		case "not":
			if len(p.tokens) > 1 && slices.Contains([]string{"in", "between", "like", "ilike"}, p.tokens[1].text) {
				return powIn
			}
		}
	case tokSymbol:
		switch t.text {
		case "=", "<", ">", "<=", ">=", "<>", "!=":
			return powCompare
		case "||", "^@", "->", "->>":
			return powOther
		case "+", "-":
			return powAdd
		case "*", "/", "%":
			return powMul
		case "::":
			return powCast
		}
	}
	return 0
}

func (p *parser) infix(left Node, pow int) (Node, error) {
	switch pow {
	case powIs:
		return p.is(left)
	case powIn:
		return p.inLike(left)
	case powCast:
		p.next()
		to, err := p.typeName()
		return &cast{left, to}, err
	}
	op := p.next().text
	if op == "!=" {
		op = "<>"
	}
	if pow == powCompare {
		if all := p.peek().text == "all"; p.peek().kind == tokWord && (all || p.peek().text == "any" || p.peek().text == "some") {
			p.next()
			array, err := p.parens()
			return &quant{op, left, array, all}, err
		}
	}
	right, err := p.expr(pow)
	if err == nil && pow == powCompare && p.power() == powCompare {
		return nil, fault("42601", "comparisons do not chain")
	}
	return &Binary{op, left, right}, err
}

func (p *parser) is(left Node) (Node, error) {
	p.next()
	not := p.word("not")
	switch {
	case p.word("null"):
		return &isNull{left, not}, nil
	case p.word("true"):
		return &isBool{left, true, not}, nil
	case p.word("false"):
		return &isBool{left, false, not}, nil
	case p.word("distinct", "from"):
		right, err := p.expr(powIs)
		return &distinct{left, right, not}, err
	}
	return nil, notUnderstood("is %s", p.peek().text)
}

func (p *parser) inLike(left Node) (n Node, err error) {
	not := p.word("not")
	switch op := p.next().text; op {
	case "in":
		var list []Node
		if err = p.expectSymbol("("); err == nil {
			list, err = p.list(")")
		}
		if err == nil && len(list) == 0 {
			err = fault("42601", "in without values")
		}
		n = &in{left, list}
	case "between":
		b := &between{x: left}
		if b.low, err = p.expr(powIn); err != nil {
			return nil, err
		}
		if !p.word("and") {
			return nil, fault("42601", "between without and")
		}
		b.high, err = p.expr(powIn)
		n = b
	default:
		var right Node
		right, err = p.expr(powIn)
		if p.word("escape") {
			return nil, notUnderstood("escape")
		}
		n = &Binary{op, left, right}
	}
	if not {
		n = &unary{"not", n}
	}
	return n, err
}

// list reads expressions up to the closing sign.
func (p *parser) list(until string) ([]Node, error) {
	var list []Node
	if p.symbol(until) {
		return nil, nil
	}
	for {
		n, err := p.expr(0)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if !p.symbol(",") {
			return list, p.expectSymbol(until)
		}
	}
}

func (p *parser) parens() (Node, error) {
	if err := p.expectSymbol("("); err != nil {
		return nil, err
	}
	n, err := p.expr(0)
	if err != nil {
		return nil, err
	}
	return n, p.expectSymbol(")")
}

// typeName reads a type, which is mostly ignored.
func (p *parser) typeName() (string, error) {
	t := p.next()
	if t.kind != tokWord && t.kind != tokQuoted {
		return "", notUnderstood("a cast to %q", t.text)
	}
	name := t.text
	for p.symbol(".") {
		name = p.next().text
	}
	if p.word("with", "time", "zone") || p.word("without", "time", "zone") || p.word("precision") || p.word("varying") {
		name += " …"
	}
	if p.symbol("(") {
		if _, err := p.list(")"); err != nil {
			return "", err
		}
	}
	for p.symbol("[") {
		if err := p.expectSymbol("]"); err != nil {
			return "", err
		}
		name = "array"
	}
	return name, nil
}

func parseNumber(text string) (Node, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return &literal{n}, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, notUnderstood("the number %s", text)
	}
	return &literal{f}, nil
}
