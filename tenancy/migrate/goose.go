package migrate

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"
)

// annotated tells whether a text has an annotation of goose.
func annotated(text string) bool {
	for line := range strings.Lines(text) {
		if isAnnotation(line) {
			return true
		}
	}
	return false
}

func isAnnotation(line string) bool {
	return strings.HasPrefix(strings.TrimSpace(line), "--") && strings.Contains(line, "+goose")
}

// readGoose reads files of goose: NNN_name.sql with annotations, in the order of their numbers.
func (s Source) readGoose(names []string, texts map[string]string) (files []*file, err error) {
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fail := func(problem string) error { return &FormatError{Source: s.Name, Name: name, Problem: problem} }
		number, _, ok := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		numbered := ok && err == nil && version > 0
		switch {
		case path.Ext(name) == ".go" && numbered:
			return nil, fail("a migration of goose written in Go cannot be run from here; rewrite it in SQL, or run it with goose and adopt it")
		case path.Ext(name) == ".go":
			continue
		case !numbered:
			return nil, fail("has no number in front, so goose would skip it; name it NNN_name.sql or move it elsewhere")
		}
		f := &file{File: File{Source: s.Name, Name: name}, form: goose, version: uint64(version)}
		if err := f.parseGoose(texts[name]); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return inOrder(files)
}

// inOrder sorts by number and refuses a number that comes twice.
func inOrder(files []*file) ([]*file, error) {
	slices.SortStableFunc(files, func(a, b *file) int { return cmp.Compare(a.version, b.version) })
	for i := 1; i < len(files); i++ {
		if files[i].version == files[i-1].version {
			return nil, &FormatError{Source: files[i].Source, Name: files[i].Name, Problem: "has the number of " + files[i-1].Name}
		}
	}
	return files, nil
}

// gooseParser follows the annotations of a file.
type gooseParser struct {
	f     *file
	line  int
	up    strings.Builder // the up part; everything else is an empty line
	part  string          // "", "Up" or "Down"
	begin int             // line of an open StatementBegin
	block int             // offset in up of its text
	plain int             // offset in up behind the last block
}

// parseGoose keeps the up part. The parts between StatementBegin and StatementEnd are single pieces where there is no
// transaction; within one they mean nothing, because the text is sent as a whole.
func (f *file) parseGoose(text string) error {
	p := &gooseParser{f: f}
	for line := range strings.Lines(text) {
		p.line++
		if isAnnotation(line) {
			if err := p.annotation(line); err != nil {
				return err
			}
			p.up.WriteByte('\n')
			continue
		}
		switch blank := strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "--"); {
		case p.part == "" && !blank:
			return p.fail("SQL before -- +goose Up belongs to neither part")
		case p.part == "Up":
			p.up.WriteString(line)
		default:
			p.up.WriteByte('\n')
		}
	}
	p.line = 0
	switch {
	case p.part == "":
		return p.fail("has no -- +goose Up")
	case p.begin > 0:
		p.line = p.begin
		return p.fail("-- +goose StatementBegin without StatementEnd")
	}
	p.split()
	f.text = p.up.String()
	f.checksum = sum(strings.TrimSpace(f.text))
	if !f.noTx {
		f.pieces = nil
	}
	return nil
}

func (p *gooseParser) fail(problem string) error {
	return &FormatError{Source: p.f.Source, Name: p.f.Name, Line: p.line, Problem: problem}
}

func (p *gooseParser) annotation(line string) error {
	if line[0] != '-' {
		return p.fail("goose wants its annotations at the beginning of the line")
	}
	front, word, _ := strings.Cut(line, "+goose")
	if strings.Trim(front, "- \t") != "" {
		return p.fail("goose wants annotations to be written -- +goose Word")
	}
	switch word = strings.ToUpper(strings.Join(strings.Fields(word), " ")); word {
	case "UP":
		if p.part != "" {
			return p.fail("a second -- +goose Up")
		}
		p.part = "Up"
	case "DOWN":
		if p.part != "Up" || p.begin > 0 {
			return p.fail("-- +goose Down must follow the up part, once")
		}
		p.split()
		p.part = "Down"
	case "STATEMENTBEGIN":
		if p.part == "" || p.begin > 0 {
			return p.fail("-- +goose StatementBegin must be inside of a part, and not in another one")
		}
		p.begin = p.line
		if p.part == "Up" {
			p.split()
			p.block = p.up.Len() + 1 // behind this line
		}
	case "STATEMENTEND":
		if p.begin == 0 {
			return p.fail("-- +goose StatementEnd without StatementBegin")
		}
		if p.part == "Up" {
			text := p.up.String()[min(p.block, p.up.Len()):]
			if block := strings.TrimSpace(text); block != "" {
				p.f.pieces = append(p.f.pieces, sqlsplit.Statement{Text: block, Line: p.begin + 1})
			}
			p.plain = p.up.Len()
		}
		p.begin = 0
	case "NO TRANSACTION":
		p.f.noTx = true
	case "ENVSUB OFF":
	case "ENVSUB ON":
		return p.fail("ENVSUB puts the environment into SQL, so that the file would not say what it does; write the value, or use a setting")
	default:
		return p.fail("goose knows no annotation " + strconv.Quote(word))
	}
	return nil
}

// split cuts what stands outside of blocks into statements.
func (p *gooseParser) split() {
	text := p.up.String()
	offset := strings.Count(text[:p.plain], "\n")
	for _, s := range sqlsplit.Split(text[p.plain:]) {
		s.Line += offset
		p.f.pieces = append(p.f.pieces, s)
	}
	p.plain = len(text)
}
