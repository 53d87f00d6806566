package archtest

import (
	"go/ast"
	"strings"
)

const (
	maxFileLines = 500
	maxFuncLines = 80
)

// maxExported returns how many exported names a folder may have, option
// structs and errors not counted; 0 is no limit.
func maxExported(dir string) int {
	switch kindOf(dir) {
	case core:
		switch dir {
		case "httpx":
			return 70
		case "cache":
			return 55 // 25 of them are the store's side, which fakes implement and users never name
		case "tenancy":
			return 50 // eleven of them are the driver's side, which fakes implement and users never name
		case "jobs":
			return 70 // queue, cron, workflows and inspector are one concept to their users; 30 of them are constants
		}
		return 40
	case adapter:
		if dir == "jobs/driver" {
			return 0 // the contract of a store, which fakes implement and users never name
		}
		if dir == "tenancy/registry" {
			return 60 // one schema of tenants, people, keys, domains and archives, whose tables change together
		}
		if block(dir) == "tenancy" {
			return 40 // its parts are packages of their own, not adapters
		}
		return 8
	}
	return 0
}

func (m *module) checkSizes() {
	for _, f := range m.files {
		if f.lines > maxFileLines {
			m.report(f, nil, "size", "%d lines, want at most %d: one concept a file", f.lines, maxFileLines)
		}
		for _, decl := range f.ast.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := m.fset.Position(d.End()).Line - m.line(d) + 1; n > maxFuncLines {
				m.report(f, d, "size", "%s has %d lines, want at most %d: it should fit on a screen", d.Name.Name, n, maxFuncLines)
			}
		}
	}
	for dir, files := range m.byDir() {
		limit := maxExported(dir)
		if limit == 0 {
			continue
		}
		if names := exported(files); len(names) > limit {
			m.report(files[0], nil, "size", "package %s exports %d names, want at most %d: each must earn its place (%s)", dir, len(names), limit, strings.Join(names, " "))
		}
	}
}

// exported returns the exported top-level names but for option structs and
// errors.
func exported(files []*file) []string {
	var names []string
	add := func(id *ast.Ident) {
		n := id.Name
		if id.IsExported() && !strings.HasSuffix(n, "Options") && !strings.HasPrefix(n, "Err") && !strings.HasSuffix(n, "Error") {
			names = append(names, n)
		}
	}
	for _, f := range files {
		if f.test || f.ast.Name.Name == "main" {
			continue
		}
		for _, decl := range f.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						add(s.Name)
					case *ast.ValueSpec:
						for _, n := range s.Names {
							add(n)
						}
					}
				}
			}
		}
	}
	return names
}
