package sqlexpr

// Node is a parsed expression.
type Node interface {
	eval(env *Env) (any, error)
}

// Column is a reference to a column, maybe qualified.
type Column struct{ Table, Name string }

// Param is $N.
type Param struct{ N int }

// Binary is an operator between two operands: the comparisons, and, or, like, ilike, ^@, ||, ->, ->> and arithmetic.
type Binary struct {
	Op          string
	Left, Right Node
}

type (
	literal struct{ value any }
	unary   struct {
		op string // not, -
		x  Node
	}
	isNull struct {
		x   Node
		not bool
	}
	isBool struct {
		x    Node
		want bool
		not  bool
	}
	distinct struct {
		left, right Node
		not         bool // is not distinct from
	}
	in struct {
		x    Node
		list []Node
	}
	between struct{ x, low, high Node }
	quant   struct {
		op    string
		x     Node
		array Node
		all   bool
	}
	rowOf   struct{ items []Node }
	arrayOf struct{ items []Node }
	cast    struct {
		x  Node
		to string
	}
	call struct {
		name string
		args []Node
	}
	caseOf struct {
		operand Node
		whens   [][2]Node
		other   Node
	}
)

// Assign is column = expression.
type Assign struct {
	Column string
	Value  Node
}

// Conjuncts returns the operands of the ands at the top of n.
func Conjuncts(n Node) []Node {
	if b, ok := n.(*Binary); ok && b.Op == "and" {
		return append(Conjuncts(b.Left), Conjuncts(b.Right)...)
	}
	return []Node{n}
}
