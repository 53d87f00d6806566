package archtest

import (
	"go/ast"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// There is one outbox, tenancy/outbox. A second table of events that wait for
// a relay would have its own gaps, order and retention; a second way to write
// into the one would miss what its own writer promises.
var (
	outboxTable = regexp.MustCompile(`(?is)\b(create\s+(unlogged\s+|temp(orary)?\s+)?table|insert\s+into|copy)\s+(if\s+not\s+exists\s+)?["\w.]*(out_?box|pending_?events?|event_?queue|unsent)`)
	enqueueTx   = regexp.MustCompile(`^(Enqueue|Insert|Publish|Emit|Push|Send)\w*Tx$`)
)

const oneOutbox = "a second outbox: emit the event with tenancy.Emit and read it through an outbox.Sink"

func (m *module) checkOutbox() {
	for _, f := range m.files {
		if f.test || f.dir == "tenancy" || strings.HasPrefix(f.dir, "tenancy/") || strings.HasPrefix(f.dir, "internal") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if n.Kind == token.STRING && outboxTable.MatchString(n.Value) {
					m.report(f, n, "outbox", "%s", oneOutbox)
				}
			case *ast.FuncDecl:
				if enqueueTx.MatchString(n.Name.Name) {
					m.report(f, n, "outbox", "%s: %s", n.Name.Name, oneOutbox)
				}
			}
			return true
		})
	}
	for _, name := range m.other {
		if path.Ext(name) != ".sql" || strings.HasPrefix(name, "tenancy/migrations/") || strings.HasPrefix(name, "tenancy/internal/sqltext/") {
			continue
		}
		src, err := fs.ReadFile(m.fsys, name)
		if err != nil {
			m.reportAt(name, "outbox", "%v", err)
		} else if outboxTable.Match(src) {
			m.reportAt(name, "outbox", "%s", oneOutbox)
		}
	}
}
