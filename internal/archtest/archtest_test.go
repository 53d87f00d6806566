package archtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/archtest"
)

// TestArchitecture is the check of this repository.
func TestArchitecture(t *testing.T) {
	found, err := archtest.Check("../..")
	require.NoError(t, err)
	for _, v := range found {
		t.Error(v)
	}
}

// coreDoc is a package comment with all headings.
const coreDoc = "// Package cache caches.\n//\n// # Usage\n//\n// # Consistency\n//\n// # Tenancy\n//\n// # Errors\n//\n// # Concurrency\n"

const examples = "package cache_test\n" +
	"// Output:\n\nvar a int\n\n// Output:\n\nvar b int\n\n// Output:\n\nvar c int\n\n// Output:\n\nvar d int\n\n// Output:\n\nvar e int\n"

// plant is a file that breaks a rule, or none, in an otherwise sound module.
type plant struct {
	file, src string
	want      string // "" = sound
}

// plants holds one for each kind of violation, and the sound cases beside it.
var plants = map[string]plant{
	"sound":                      {"cache/x.go", "package cache\n", ""},
	"core imports an SDK":        {"cache/x.go", "package cache\nimport _ \"github.com/redis/go-redis/v9\"\n", "[imports]"},
	"kit imports an SDK":         {"jobs/jobstest/x.go", "// Package jobstest tests.\npackage jobstest\nimport _ \"github.com/redis/go-redis/v9\"\n", "[imports]"},
	"adapter imports two SDKs":   {"cache/rediscache/x.go", "// Package rediscache caches.\npackage rediscache\nimport _ \"github.com/jackc/pgx/v5\"\n", "[imports]"},
	"adapter imports its SDK":    {"cache/rediscache/x.go", "// Package rediscache caches.\npackage rediscache\nimport _ \"github.com/redis/go-redis/v9\"\n", ""},
	"block imports a block":      {"cache/x.go", "package cache\nimport _ \"example.com/m/jobs\"\n", "[imports]"},
	"test imports a block":       {"cache/x_test.go", "package cache_test\nimport _ \"example.com/m/jobs\"\n", "[imports]"},
	"bridge imports its second":  {"jobs/outboxjobs/x.go", "// Package outboxjobs bridges.\npackage outboxjobs\nimport _ \"example.com/m/tenancy\"\n", ""},
	"bridge imports a third":     {"jobs/outboxjobs/x.go", "// Package outboxjobs bridges.\npackage outboxjobs\nimport _ \"example.com/m/cache\"\n", "[imports]"},
	"core imports internal":      {"cache/x.go", "package cache\nimport _ \"example.com/m/internal/devstack\"\n", "[imports]"},
	"testify in code":            {"examples/x.go", "// Package examples is one.\npackage examples\nimport _ \"github.com/stretchr/testify/require\"\n", "[imports]"},
	"testify assert":             {"cache/x_test.go", "package cache_test\nimport _ \"github.com/stretchr/testify/assert\"\n", "[imports]"},
	"testing in code":            {"cache/x.go", "package cache\nimport _ \"testing\"\n", "[imports]"},
	"testing in a kit":           {"cache/cachetest/x.go", "// Package cachetest tests.\npackage cachetest\nimport _ \"testing\"\n", ""},
	"twilio root":                {"examples/x.go", "// Package examples is one.\npackage examples\nimport _ \"github.com/twilio/twilio-go\"\n", "[imports]"},
	"testenv in code":            {"examples/x.go", "// Package examples is one.\npackage examples\nimport _ \"example.com/m/internal/testenv\"\n", "[imports]"},
	"dot import":                 {"cache/x.go", "package cache\nimport . \"fmt\"\n", "[imports]"},
	"allowed with a reason":      {"cache/x.go", "package cache\n//archtest:allow imports the reason\nimport . \"fmt\"\n", ""},
	"allowed without a reason":   {"cache/x.go", "package cache\n//archtest:allow imports\nimport . \"fmt\"\n", "[imports]"},
	"undocumented function":      {"cache/x.go", "package cache\nfunc X() {}\n", "[docs]"},
	"undocumented method":        {"cache/x.go", "package cache\n// T is.\ntype T int\nfunc (T) X() {}\n", "[docs]"},
	"undocumented hidden method": {"cache/x.go", "package cache\ntype t int\nfunc (t) X() {}\n", ""},
	"undocumented option":        {"cache/x.go", "package cache\n// Options is.\ntype Options struct { A int }\n", "[docs]"},
	"undocumented error":         {"cache/x.go", "package cache\nvar ErrX error\n", "[docs]"},
	"second package comment":     {"cache/x.go", coreDoc + "package cache\n", "[docs]"},
	"no package comment":         {"cache/rediscache/x.go", "package rediscache\n", "[docs]"},
	"long file":                  {"cache/x.go", "package cache\n" + long, "[size]"},
	"long function":              {"cache/x.go", "package cache\nfunc x() {" + long[:100] + "}\n", "[size]"},
	"many names":                 {"cache/x.go", "package cache\n" + many, "[size]"},
	"init":                       {"cache/x.go", "package cache\nfunc init() {}\n", "[init]"},
	"environment":                {"cache/x.go", "package cache\nimport \"os\"\nvar _ = os.Getenv(\"X\")\n", "[env]"},
	"environment in examples":    {"examples/x.go", "// Package examples is one.\npackage examples\nimport \"os\"\nvar _ = os.Getenv(\"X\")\n", ""},
	"sleep":                      {"cache/x_test.go", "package cache_test\nimport \"time\"\nfunc x() { time.Sleep(1) }\n", "[sleep]"},
	"skip":                       {"cache/x_test.go", "package cache_test\nimport \"testing\"\nfunc TestX(t *testing.T) { t.Skip() }\n", "[skip]"},
	"unfinished":                 {"cache/x.go", "package cache\n// " + "TODO later\n", "[unfinished]"},
	"silenced linter":            {"cache/x.go", "package cache\n\nvar x int " + "//nolint:unused\n", "[nolint]"},
	"reassigned":                 {"cache/x.go", "package cache\nvar x int\nfunc f() { x = 1 }\n", "[globals]"},
	"counted up":                 {"cache/x.go", "package cache\nvar x int\nfunc f() { x++ }\n", "[globals]"},
	"a local of the name":        {"cache/x.go", "package cache\nvar x int\nfunc f() { x := 1; x = 2; _ = x }\n", ""},
	"stripe.Key":                 {"examples/x.go", "// Package examples is one.\npackage examples\nimport \"github.com/stripe/stripe-go/v76\"\nfunc f() { stripe.Key = \"\" }\n", "[globals]"},
	"long SQL":                   {"cache/x.go", "package cache\nconst x = `select\na,\nb,\nc,\nd from e`\n", "[sql]"},
	"unknown room":               {"cache/other/x.go", "// Package other is.\npackage other\n", "[layout]"},
	"something at the top":       {"util/x.go", "// Package util is.\npackage util\n", "[layout]"},
	"script without a header":    {"cache/rediscache/lua/x.lua", "return 1\n", "[lua]"},
	"script with a ban":          {"cache/rediscache/lua/x.lua", "-- KEYS none\n-- ARGV none\n-- returns 1\nreturn cmsgpack.pack(1)\n", "[lua]"},
	"sound script":               {"cache/rediscache/lua/x.lua", "-- KEYS none\n-- ARGV none\n-- returns 1\nreturn 1\n", ""},
	"second outbox":              {"billing/pgbilling/sql/0001_x.sql", "create table if not exists billing.outbox (id bigint);\n", "[outbox]"},
	"second writer":              {"cache/x.go", "package cache\nconst x = `insert into tenancy.outbox (id) values ($1)`\n", "[outbox]"},
	"enqueue beside the outbox":  {"jobs/redisjobs/x.go", "// Package redisjobs is.\npackage redisjobs\n\n// EnqueueTx does.\nfunc EnqueueTx() {}\n", "[outbox]"},
	"table of another kind":      {"billing/pgbilling/sql/0001_x.sql", "create table billing.invoices (id bigint);\n", ""},
	"script elsewhere":           {"cache/rediscache/x.lua", "-- KEYS none\n-- ARGV none\n-- returns 1\nreturn 1\n", "[lua]"},
}

const emptyLines = "\n\n\n\n\n\n\n\n\n\n"

// long is 600 lines, many are 60 exported names.
var (
	long = strings.Repeat(emptyLines, 60)
	many = func() string {
		var b strings.Builder
		for i := range 60 {
			b.WriteString("// N is a name.\nvar N" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + " int\n")
		}
		return b.String()
	}()
)

// TestViolationsAreFound plants each kind of violation into a small sound
// module and expects exactly that one.
func TestViolationsAreFound(t *testing.T) {
	for name, c := range plants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for file, src := range map[string]string{
				"go.mod":           "module example.com/m\n",
				"cache/doc.go":     coreDoc + "package cache\n",
				"cache/ex_test.go": examples,
				c.file:             c.src,
			} {
				at := filepath.Join(root, file)
				require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
				require.NoError(t, os.WriteFile(at, []byte(src), 0o600))
			}
			found, err := archtest.Check(root)
			require.NoError(t, err)
			if c.want == "" {
				require.Empty(t, found)
				return
			}
			require.NotEmpty(t, found)
			for _, v := range found {
				require.Contains(t, v.String(), c.want)
			}
		})
	}
}
