package archtest

import (
	"slices"
	"strconv"
	"strings"
)

const (
	pgx        = "github.com/jackc/pgx/v5"
	goRedis    = "github.com/redis/go-redis/v9"
	clickhouse = "github.com/ClickHouse/"
	stripe     = "github.com/stripe/stripe-go/v76"
	sendgrid   = "github.com/sendgrid/" // sendgrid-go and the rest client below it
	twilio     = "github.com/twilio/twilio-go/"
	otter      = "github.com/maypok86/otter/v2"
	purego     = "github.com/ebitengine/purego"
	idna       = "golang.org/x/net/idna"
	testify    = "github.com/stretchr/testify"
	prometheus = "github.com/prometheus/client_golang/prometheus"
	otel       = "go.opentelemetry.io/otel/"
)

// sdks lists what the folders of the blocks may import besides the standard
// library and their own block: nothing, where a folder is not listed.
func sdks() map[string][]string {
	return map[string][]string{
		// A unit of work is a PostgreSQL transaction; it has to be a real
		// pgx.Tx for sqlc, River and hand-written SQL to fit in.
		"tenancy": {pgx},
		// Host names have one spelling; the tables of IDNA are not worth
		// writing again.
		"tenancy/registry":    {pgx, idna},
		"tenancy/record":      {pgx},
		"tenancy/outbox":      {pgx},
		"tenancy/guard":       {pgx},
		"tenancy/migrate":     {pgx},
		"tenancy/sqldb":       {pgx},
		"tenancy/tenancytest": {pgx},
		// A statement of record is its own pgx.QueryRewriter.
		"tenancy/internal/rowop": {pgx},
		// The first level is not worth writing again.
		"cache":            {otter},
		"cache/rediscache": {goRedis},
		"jobs/redisjobs":   {goRedis},
		// The command makes the client that redisjobs leaves to its caller.
		"jobs/jobsctl":  {goRedis},
		"jobs/promjobs": {prometheus},
		// The API alone: which SDK answers it is up to the program.
		"jobs/oteljobs":                 {otel + "attribute", otel + "codes", otel + "metric", otel + "propagation", otel + "trace"},
		"billing/stripebilling":         {stripe},
		"billing/pgbilling":             {pgx},
		"notify/sendgridmail":           {sendgrid},
		"notify/twiliosms":              {twilio},
		"notify/pgnotify":               {pgx},
		"analytics/clickhouseanalytics": {clickhouse},
		// The engine is loaded without cgo; its protocol's frames are
		// ClickHouse's own.
		"analytics/devclickhouse": {purego, clickhouse},
		"httpx/redishttp":         {goRedis},
		"httpx/pghttp":            {pgx},
	}
}

// bridges are the only folders that import a second block, by name.
func bridges() map[string][]string {
	return map[string][]string{
		"jobs/outboxjobs":  {"tenancy"}, // outbox to queue, exactly once
		"httpx/recordrest": {"tenancy"}, // REST and admin over record
	}
}

// stdOnly are folders of httpx that are part of its core's promise: the
// stores that need an SDK live in redishttp and pghttp.
func stdOnly(dir string) bool {
	return slices.Contains([]string{
		"httpx/rest", "httpx/admin", "httpx/session", "httpx/authn", "httpx/ratelimit",
		"httpx/idempotency", "httpx/openapi", "httpx/webhook", "httpx/sse", "httpx/web",
	}, dir)
}

func (m *module) checkImports() {
	for _, f := range m.files {
		for _, spec := range f.ast.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the compiler says so better
			}
			if spec.Name != nil && spec.Name.Name == "." {
				m.report(f, spec, "imports", "dot import: a reader cannot tell where a name comes from")
			}
			if why := m.refuse(f, imported); why != "" {
				m.report(f, spec, "imports", "%s imports %s: %s", f.dir, imported, why)
			}
		}
	}
}

// refuse says why a file may not import a package, or "".
func (m *module) refuse(f *file, imported string) string {
	if why := refusedEverywhere(f, imported); why != "" {
		return why
	}
	b := block(f.dir)
	own, ours := strings.CutPrefix(imported, m.path+"/")
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case b == "": // examples and internal: the seven rules below are about blocks
		if ours && own == "internal/testenv" && !f.test {
			return "testenv links testing and every SDK; only tests use it"
		}
		return ""
	case !ours && !strings.Contains(first, "."):
		return "" // the standard library
	case f.test:
		return m.refuseInTest(f, b, own, ours)
	case ours:
		if o := block(own); o == b || slices.Contains(bridges()[f.dir], o) {
			return ""
		}
		if strings.HasPrefix(own, "internal/") {
			return "a block stands on its own: users import it without the rest of the repository's machinery"
		}
		return "blocks never import each other; they meet through the seams of built-in types, and glue lives in examples"
	}
	for _, sdk := range sdks()[f.dir] {
		if strings.HasPrefix(imported, sdk) {
			return ""
		}
	}
	if kindOf(f.dir) == adapter {
		return "an adapter imports its own block and one SDK family (the table is in internal/archtest)"
	}
	return "a core and its test kit import the standard library and their own block, so that users download no SDK they don't use"
}

// refuseInTest: tests may use the servers and the SDKs, but another block
// only where the package itself may.
func (m *module) refuseInTest(f *file, b, own string, ours bool) string {
	o := block(own)
	if !ours || o == "" || o == b || slices.Contains(bridges()[f.dir], o) || kindOf(f.dir) == bridge {
		return ""
	}
	return "a block's tests must not need another block; what shows several together is an example"
}

func refusedEverywhere(f *file, imported string) string {
	switch {
	case imported == "github.com/twilio/twilio-go":
		return "the root package compiles the whole of Twilio (26 s, 266 MB); use rest/api/v2010"
	case imported == stripe+"/client":
		return "it compiles every Stripe resource (8 s, 59 MB) and shares state; use the resource packages with an instance"
	case strings.HasPrefix(imported, testify) && !f.test:
		return "testify belongs into _test.go files: users must not link it"
	case strings.HasPrefix(imported, testify) && imported != testify+"/require":
		return "only require: a test that goes on after a failed assertion lies about what it saw"
	case imported == "testing" && !f.test && kindOf(f.dir) != kit && !strings.HasPrefix(f.dir, "internal/testenv"):
		return "testing belongs into tests, kits and internal/testenv: it registers flags in the user's binary"
	}
	return ""
}
