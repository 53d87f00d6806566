package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Violation is one broken rule at one place.
type Violation struct {
	Pos  string // file:line, relative to the module
	Rule string // the word that //archtest:allow takes
	Text string // what is wrong, and why that matters
}

func (v Violation) String() string { return v.Pos + ": [" + v.Rule + "] " + v.Text }

// module is a parsed source tree.
type module struct {
	path  string // the module path of go.mod
	fset  *token.FileSet
	files []*file
	other []string // names of the files that are not Go
	fsys  fs.FS

	found []Violation
}

// file is one Go file.
type file struct {
	name  string // relative, with slashes
	dir   string
	test  bool // ends in _test.go
	lines int
	ast   *ast.File
	allow map[int]string // line -> rule of an archtest:allow comment
}

var (
	moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)
	allowLine  = regexp.MustCompile(`^//archtest:allow (\w+) \S.*`)
)

// Check parses the module at root, nested modules left out, and returns what
// breaks a rule, sorted by place.
func Check(root string) ([]Violation, error) {
	m, err := load(root)
	if err != nil {
		return nil, err
	}
	m.checkLayout()
	m.checkImports()
	m.checkDocs()
	m.checkSizes()
	m.checkBans()
	m.checkScripts()
	m.checkOutbox()
	slices.SortFunc(m.found, func(a, b Violation) int { return strings.Compare(a.Pos+a.Rule, b.Pos+b.Rule) })
	return m.found, nil
}

func load(root string) (*module, error) {
	m := &module{fset: token.NewFileSet(), fsys: os.DirFS(root)}
	gomod, err := fs.ReadFile(m.fsys, "go.mod")
	if err != nil {
		return nil, err
	}
	match := moduleLine.FindSubmatch(gomod)
	if match == nil {
		return nil, fmt.Errorf("archtest: go.mod has no module line")
	}
	m.path = string(match[1])
	err = fs.WalkDir(m.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name != "." && (base[0] == '.' || base == "testdata" || base == "node_modules" || m.nested(name)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			m.other = append(m.other, name)
			return nil
		}
		return m.parse(root, name)
	})
	return m, err
}

func (m *module) nested(dir string) bool {
	_, err := fs.Stat(m.fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func (m *module) parse(root, name string) error {
	src, err := fs.ReadFile(m.fsys, name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(m.fset, filepath.Join(root, name), src, parser.ParseComments)
	if err != nil {
		return err
	}
	parsed := &file{
		name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
		lines: strings.Count(string(src), "\n"), ast: f, allow: map[int]string{},
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if rule := allowLine.FindStringSubmatch(c.Text); rule != nil {
				parsed.allow[m.line(c)] = rule[1]
			}
		}
	}
	m.files = append(m.files, parsed)
	return nil
}

func (m *module) line(n ast.Node) int { return m.fset.Position(n.Pos()).Line }

// report notes a violation at a node, nil for the whole file, unless the file
// allows it there.
func (m *module) report(f *file, n ast.Node, rule, format string, args ...any) {
	line := 1
	if n != nil {
		line = m.line(n)
	}
	for at, allowed := range f.allow {
		if allowed == rule && (n == nil || at == line || at == line-1) {
			return
		}
	}
	m.found = append(m.found, Violation{f.name + ":" + strconv.Itoa(line), rule, fmt.Sprintf(format, args...)})
}

// reportAt notes a violation in a place that is not a Go file.
func (m *module) reportAt(name, rule, format string, args ...any) {
	m.found = append(m.found, Violation{name, rule, fmt.Sprintf(format, args...)})
}

// blocks are the seven, each a folder at the top.
func blocks() []string {
	return []string{"tenancy", "cache", "jobs", "billing", "notify", "analytics", "httpx"}
}

// block returns the block that a folder of the module belongs to, or "".
func block(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	if slices.Contains(blocks(), first) {
		return first
	}
	return ""
}

// kind is the part that a folder plays in its block.
type kind int

const (
	outside kind = iota // examples, internal
	core
	kit
	adapter
	bridge
)

func kindOf(dir string) kind {
	b := block(dir)
	switch {
	case b == "":
		return outside
	case dir == b, stdOnly(dir):
		return core
	case bridges()[dir] != nil:
		return bridge
	case strings.HasSuffix(dir, "test"):
		return kit
	}
	return adapter
}

// byDir groups the files of the packages.
func (m *module) byDir() map[string][]*file {
	dirs := map[string][]*file{}
	for _, f := range m.files {
		dirs[f.dir] = append(dirs[f.dir], f)
	}
	return dirs
}
