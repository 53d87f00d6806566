package record

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// Query selects records. The zero value selects all of the tenant, in no order.
type Query struct {
	// Where is a condition in SQL with the arguments $1, $2, …: "status = $1 and due < now()". Empty means none. It is part
	// of the statement: never build it from input.
	Where string

	// Args are the arguments of Where.
	Args []any

	// Order are the columns to order by, those that begin with - descending: "-created_at,id". Nulls come last in an
	// ascending and first in a descending order, unless "nulls first" or "nulls last" follows the column. Empty means no
	// order; a Page is ordered by the primary key.
	Order string

	// Limit is the largest number of records. Zero means all, and 50 for a Page; negative is an error.
	Limit int

	// After and Before are the cursor of a Page: at most one of them, from Page.Next or Page.Prev. Empty means the first
	// page. Other methods refuse them.
	After, Before string

	// Lock locks the rows until the end of the unit of work. Zero means no lock.
	Lock Lock

	// WithDeleted includes records that were deleted softly.
	WithDeleted bool
}

// Lock is how rows are locked by a read inside a unit of work.
type Lock int

// The locks.
const (
	NoLock     Lock = iota
	ForUpdate       // waits for others; they wait for this unit
	ForShare        // others may read with ForShare too, but not write
	SkipLocked      // ForUpdate, leaving out rows that others have locked: a queue
	NoWait          // ForUpdate, failing with SQLSTATE 55P03 if others have locked one
)

func (l Lock) clause() (string, error) {
	switch l {
	case NoLock:
		return "", nil
	case ForUpdate:
		return "for update of t", nil
	case ForShare:
		return "for share of t", nil
	case SkipLocked:
		return "for update of t skip locked", nil
	case NoWait:
		return "for update of t nowait", nil
	}
	return "", fmt.Errorf("record: unknown lock %d", l)
}

// selection makes the statement of q.
func (p *plan) selection(kind rowop.Kind, tenant string, q Query) (rowop.Op, error) {
	if q.Limit < 0 {
		return rowop.Op{}, fmt.Errorf("record: Query.Limit is negative")
	}
	if q.After != "" || q.Before != "" {
		return rowop.Op{}, fmt.Errorf("record: Query.After and Query.Before belong to Page")
	}
	order, err := p.parseOrder(q.Order)
	if err != nil {
		return rowop.Op{}, err
	}
	lock, err := q.Lock.clause()
	if err != nil {
		return rowop.Op{}, err
	}
	if err := checkText(q.Where, q.Args); err != nil {
		return rowop.Op{}, err
	}
	where, args := p.scope(tenant, q.Where, q.Args, q.WithDeleted)
	s := rowop.Stmt{Kind: kind, Table: p.table, Where: where}
	if kind == rowop.Select {
		s.Order, s.Lock, s.Returning = order, lock, p.columns
		if q.Limit > 0 {
			args = append(args, q.Limit)
			s.Limit = "$" + strconv.Itoa(len(args))
		}
	}
	return rowop.Op{Stmt: rowop.New(s), Args: args}, nil
}

// parseOrder reads Query.Order. Its columns are looked up, so it may come from input.
func (p *plan) parseOrder(text string) ([]rowop.Order, error) {
	if text == "" {
		return nil, nil
	}
	var list []rowop.Order
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		if len(words) == 0 {
			return nil, fmt.Errorf("record: empty column in Query.Order")
		}
		name, desc := strings.CutPrefix(words[0], "-")
		o := rowop.Order{Column: p.table.Column(name), Desc: desc, NullsFirst: desc}
		if o.Column == nil {
			return nil, fmt.Errorf("record: Query.Order names an unknown column %q", name)
		}
		switch strings.Join(words[1:], " ") {
		case "":
		case "nulls first":
			o.NullsFirst = true
		case "nulls last":
			o.NullsFirst = false
		default:
			return nil, fmt.Errorf("record: Query.Order has %q after column %s; want nulls first or nulls last", strings.Join(words[1:], " "), name)
		}
		for _, other := range list {
			if other.Column == o.Column {
				return nil, fmt.Errorf("record: Query.Order names the column %s twice", name)
			}
		}
		list = append(list, o)
	}
	return list, nil
}

// checkText refuses a parameter without an argument, which would be one of this package's own, as the tenant, and a text
// that leaves the parentheses around it. It does not understand SQL: that is PostgreSQL's part.
func checkText(text string, args []any) error {
	quote, depth := byte(0), 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return fmt.Errorf("record: %q closes a parenthesis that it did not open", text)
			}
		case c == '$':
			n := 0
			for end := i + 1; end < len(text) && text[end] >= '0' && text[end] <= '9' && n < 1<<20; end++ {
				n = n*10 + int(text[end]-'0')
			}
			if n > len(args) {
				return fmt.Errorf("record: %q has the parameter $%d, but there are %d arguments", text, n, len(args))
			}
		}
	}
	if quote != 0 || depth != 0 {
		return fmt.Errorf("record: %q has a quote or a parenthesis that is not closed", text)
	}
	return nil
}
