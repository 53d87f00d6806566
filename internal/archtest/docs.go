package archtest

import (
	"go/ast"
	"strings"
)

// headings are those of the package comment of every core, in this order;
// the third is Consistency where nothing is delivered.
func headings() [][]string {
	return [][]string{{"# Usage"}, {"# Delivery", "# Consistency"}, {"# Tenancy"}, {"# Errors"}, {"# Concurrency"}}
}

func (m *module) checkDocs() {
	for dir, files := range m.byDir() {
		m.checkPackageDoc(dir, files)
		if kindOf(dir) == core && dir == block(dir) {
			m.checkExamples(files)
		}
	}
	for _, f := range m.files {
		if f.test || f.ast.Name.Name == "main" {
			continue
		}
		for _, decl := range f.ast.Decls {
			m.checkDecl(f, decl)
		}
	}
}

func (m *module) checkPackageDoc(dir string, files []*file) {
	var doc string
	var last *file
	n := 0
	for _, f := range files {
		if f.test {
			continue
		}
		last = f
		if f.ast.Doc != nil {
			n++
			doc = f.ast.Doc.Text()
		}
	}
	if last == nil {
		return // tests only
	}
	if n != 1 {
		m.report(last, nil, "docs", "package %s has %d package comments, want one: it is the first thing a reader sees", dir, n)
		return
	}
	if dir != block(dir) {
		return
	}
	at := 0
	for _, choices := range headings() {
		next := -1
		for _, h := range choices {
			if i := strings.Index(doc[at:], h+"\n"); i >= 0 {
				next = at + i
			}
		}
		if next < 0 {
			m.report(last, nil, "docs", "the package comment of %s lacks %s (after the headings before it): all blocks have the same ones in the same order", dir, strings.Join(choices, " or "))
			return
		}
		at = next
	}
}

// checkExamples wants five runnable examples in a core, whose output is
// compared.
func (m *module) checkExamples(files []*file) {
	n := 0
	for _, f := range files {
		if !f.test {
			continue
		}
		for _, c := range f.ast.Comments {
			if strings.HasPrefix(strings.ToLower(c.Text()), "output:") || strings.HasPrefix(strings.ToLower(c.Text()), "unordered output:") {
				n++
			}
		}
	}
	if n < 5 {
		m.report(files[0], nil, "docs", "package %s has %d Examples with output, want 5: code in docs is worth what a test runs", files[0].dir, n)
	}
}

func (m *module) checkDecl(f *file, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && !hidden(d) && !conventional(d) {
			m.report(f, d, "docs", "%s has no comment", d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			m.checkSpec(f, d, spec)
		}
	}
}

// hidden reports whether a method's receiver is not exported: godoc does not
// show it.
func hidden(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return false
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	if index, ok := t.(*ast.IndexListExpr); ok {
		t = index.X
	}
	id, ok := t.(*ast.Ident)
	return ok && !id.IsExported()
}

// conventional methods mean what the standard library says.
func conventional(d *ast.FuncDecl) bool {
	switch d.Name.Name {
	case "Error", "String", "ServeHTTP":
		return d.Recv != nil
	}
	return false
}

func (m *module) checkSpec(f *file, d *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return
		}
		if d.Doc == nil && s.Doc == nil {
			m.report(f, s, "docs", "type %s has no comment", s.Name.Name)
		}
		if fields, ok := s.Type.(*ast.StructType); ok && strings.HasSuffix(s.Name.Name, "Options") {
			m.checkOptions(f, s.Name.Name, fields)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			// A group of constants may share the comment above it.
			if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				m.report(f, s, "docs", "%s %s has no comment", d.Tok, name.Name)
			}
		}
	}
}

// checkOptions wants every field of an option struct to say what its zero
// means.
func (m *module) checkOptions(f *file, name string, fields *ast.StructType) {
	for _, field := range fields.Fields.List {
		if len(field.Names) > 0 && !field.Names[0].IsExported() {
			continue
		}
		if field.Doc == nil && field.Comment == nil {
			m.report(f, field, "docs", "a field of %s has no comment: say what it does and what its zero means", name)
		}
	}
}
