package sqlexpr

import "strconv"

// prefix reads an operand with the operators before it.
func (p *parser) prefix() (Node, error) {
	t := p.next()
	switch t.kind {
	case tokNumber:
		return parseNumber(t.text)
	case tokString:
		return &literal{t.text}, nil
	case tokParam:
		n, err := strconv.Atoi(t.text)
		if err != nil || n == 0 {
			return nil, fault("42P02", "there is no parameter $%s", t.text)
		}
		return &Param{n}, nil
	case tokQuoted:
		return p.column(t)
	case tokWord:
		return p.keyword(t)
	case tokSymbol:
		switch t.text {
		case "(":
			return p.rowOrParens()
		case "-":
			x, err := p.expr(powNeg)
			return &unary{"-", x}, err
		case "+":
			return p.expr(powNeg)
		}
	}
	if t.kind == tokEnd {
		return nil, fault("42601", "syntax error at end of expression")
	}
	return nil, notUnderstood("%q", t.text)
}

func (p *parser) rowOrParens() (Node, error) {
	list, err := p.list(")")
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, fault("42601", "syntax error at \")\"")
	case len(list) == 1:
		return list[0], nil
	}
	return &rowOf{list}, nil
}

func (p *parser) keyword(t token) (Node, error) {
	switch t.text {
	case "null":
		return &literal{nil}, nil
	case "true":
		return &literal{true}, nil
	case "false":
		return &literal{false}, nil
	case "not":
		x, err := p.expr(powNot)
		return &unary{"not", x}, err
	case "case":
		return p.caseWhen()
	case "interval":
		if s := p.peek(); s.kind == tokString {
			p.next()
			return &cast{&literal{s.text}, "interval"}, nil
		}
	case "cast":
		return p.castAs()
	case "row":
		if p.symbol("(") {
			list, err := p.list(")")
			return &rowOf{list}, err
		}
	case "array":
		if p.symbol("[") {
			list, err := p.list("]")
			return &arrayOf{list}, err
		}
	case "current_timestamp":
		return &call{name: "now"}, nil
	case "select", "exists", "with", "collate", "and", "or", "in", "is", "between", "like", "ilike", "when", "then", "end":
		return nil, notUnderstood("%q here", t.text)
	}
	if p.symbol("(") {
		args, err := p.list(")")
		if err == nil && !known(t.text) {
			err = notUnderstood("the function %s", t.text)
		}
		return &call{t.text, args}, err
	}
	return p.column(t)
}

func (p *parser) column(t token) (Node, error) {
	c := &Column{Name: t.text}
	if p.symbol(".") {
		name := p.next()
		if name.kind != tokWord && name.kind != tokQuoted {
			return nil, notUnderstood("%q after a dot", name.text)
		}
		c.Table, c.Name = t.text, name.text
	}
	return c, nil
}

func (p *parser) castAs() (Node, error) {
	if err := p.expectSymbol("("); err != nil {
		return nil, err
	}
	x, err := p.expr(0)
	if err != nil {
		return nil, err
	}
	if !p.word("as") {
		return nil, fault("42601", "cast without as")
	}
	to, err := p.typeName()
	if err != nil {
		return nil, err
	}
	return &cast{x, to}, p.expectSymbol(")")
}

func (p *parser) caseWhen() (Node, error) {
	c := &caseOf{}
	var err error
	if t := p.peek(); t.kind != tokWord || t.text != "when" {
		if c.operand, err = p.expr(0); err != nil {
			return nil, err
		}
	}
	for p.word("when") {
		var w [2]Node
		if w[0], err = p.expr(0); err != nil {
			return nil, err
		}
		if !p.word("then") {
			return nil, fault("42601", "when without then")
		}
		if w[1], err = p.expr(0); err != nil {
			return nil, err
		}
		c.whens = append(c.whens, w)
	}
	if p.word("else") {
		if c.other, err = p.expr(0); err != nil {
			return nil, err
		}
	}
	if len(c.whens) == 0 || !p.word("end") {
		return nil, fault("42601", "case without when or end")
	}
	return c, nil
}
