package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

var (
	unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b|(?i)\bnot implemented\b`)
	sqlStart   = regexp.MustCompile("(?is)^[`\\s]*(select|insert|update|delete|create|alter|with|merge|drop)\\s")
)

func (m *module) checkBans() {
	vars := m.packageVars()
	for _, f := range m.files {
		for _, group := range f.ast.Comments {
			if unfinished.MatchString(group.Text()) {
				m.report(f, group, "unfinished", "an unfinished place: finish it or leave it out")
			}
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, "//nolint") || strings.HasPrefix(c.Text, "//lint:ignore") {
					m.report(f, c, "nolint", "a silenced linter: change the code instead")
				}
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			m.banNode(f, n, vars[f.dir+" "+f.ast.Name.Name])
			return true
		})
	}
}

func (m *module) banNode(f *file, n ast.Node, vars map[string]bool) {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if n.Name.Name == "init" && n.Recv == nil {
			m.report(f, n, "init", "func init: importing a package must not run anything")
		}
	case *ast.SelectorExpr:
		m.banSelector(f, n)
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			for _, left := range n.Lhs {
				m.banReassigned(f, left, vars)
			}
		}
	case *ast.IncDecStmt:
		m.banReassigned(f, n.X, vars)
	case *ast.BasicLit:
		if n.Kind == token.STRING && !f.test && block(f.dir) != "" && sqlStart.MatchString(n.Value) && strings.Count(strings.TrimSpace(n.Value), "\n") > 3 {
			m.report(f, n, "sql", "SQL of more than three lines: put it into an embedded .sql file, where tools can read it")
		}
	}
}

func (m *module) banSelector(f *file, n *ast.SelectorExpr) {
	id, ok := n.X.(*ast.Ident)
	if !ok {
		return
	}
	name := id.Name + "." + n.Sel.Name
	switch name {
	case "stripe.Key":
		m.report(f, n, "globals", "stripe.Key is shared by the whole process: give each client its key")
	case "os.Getenv", "os.LookupEnv", "os.Environ":
		if block(f.dir) != "" && !f.test {
			m.report(f, n, "env", "%s: a library is configured by its caller, not by the environment", name)
		}
	case "t.Skip", "t.Skipf", "t.SkipNow", "b.Skip", "f.Skip":
		m.report(f, n, "skip", "%s: what is skipped was not tested", name)
	case "time.Sleep":
		if f.test {
			m.report(f, n, "sleep", "time.Sleep in a test: wait for what happens (testing/synctest, a channel, a hook)")
		}
	}
}

// packageVars returns the names of the package-level variables, by folder and
// package name.
func (m *module) packageVars() map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, f := range m.files {
		if f.test {
			continue
		}
		key := f.dir + " " + f.ast.Name.Name
		if all[key] == nil {
			all[key] = map[string]bool{}
		}
		for _, decl := range f.ast.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.VAR {
				continue
			}
			for _, spec := range d.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					all[key][name.Name] = true
				}
			}
		}
	}
	return all
}

func (m *module) banReassigned(f *file, left ast.Expr, vars map[string]bool) {
	id, ok := left.(*ast.Ident)
	if !ok || !vars[id.Name] || id.Name == "_" {
		return
	}
	// The parser resolves names within a file: a local variable of the same
	// name has a declaration that is not a package's.
	if id.Obj != nil {
		if _, ok := id.Obj.Decl.(*ast.ValueSpec); !ok || f.ast.Scope.Lookup(id.Name) != id.Obj {
			return
		}
	}
	m.report(f, left, "globals", "package variable %s is reassigned: two users of the package would meet in it", id.Name)
}
