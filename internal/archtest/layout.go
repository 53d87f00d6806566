package archtest

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// top is what the repository shows first, and nothing else.
func top() []string {
	return append(blocks(), "examples", "internal", "docs",
		"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "go.mod", "go.sum")
}

// rooms are the folders that a block may have.
func rooms() map[string][]string {
	return map[string][]string{
		"tenancy":   {"registry", "record", "outbox", "guard", "migrate", "sqldb", "tenancytest"},
		"billing":   {"stripebilling", "pgbilling", "billingtest", "stripetest"},
		"notify":    {"sendgridmail", "smtpmail", "twiliosms", "slackchat", "pgnotify", "devinbox", "notifytest"},
		"cache":     {"rediscache", "cachetest", "cacheui"},
		"jobs":      {"driver", "redisjobs", "outboxjobs", "jobsui", "jobsctl", "jobstest", "promjobs", "oteljobs"},
		"analytics": {"clickhouseanalytics", "collector", "devclickhouse", "analyticstest"},
		"httpx": {
			"rest", "recordrest", "admin", "session", "authn", "ratelimit", "idempotency", "redishttp", "pghttp",
			"openapi", "webhook", "sse", "web", "otelx", "promx", "sentryx", "httpxtest",
		},
	}
}

func (m *module) checkLayout() {
	entries, err := fs.ReadDir(m.fsys, ".")
	if err != nil {
		m.reportAt(".", "layout", "%v", err)
		return
	}
	for _, e := range entries {
		if e.Name()[0] != '.' && !slices.Contains(top(), e.Name()) {
			m.reportAt(e.Name(), "layout", "nothing else stands at the top: a reader sees the seven blocks first")
		}
	}
	for dir, files := range m.byDir() {
		parts := strings.Split(dir, "/")
		if b := block(dir); b != "" && len(parts) > 1 && parts[1] != "internal" && !slices.Contains(rooms()[b], parts[1]) {
			m.report(files[0], nil, "layout", "%s is no room of %s (docs/design.md lists them)", parts[1], b)
		}
	}
}

var luaBan = regexp.MustCompile(`\b(bit|struct|cmsgpack)\.|^#!`)

// checkScripts holds Lua to what every Redis, Valkey and cluster runs.
func (m *module) checkScripts() {
	for _, name := range m.other {
		if path.Ext(name) != ".lua" {
			continue
		}
		src, err := fs.ReadFile(m.fsys, name)
		if err != nil {
			m.reportAt(name, "lua", "%v", err)
			continue
		}
		if path.Base(path.Dir(name)) != "lua" {
			m.reportAt(name, "lua", "scripts live in <adapter>/lua")
		}
		for _, want := range []string{"KEYS", "ARGV", "returns"} {
			if !regexp.MustCompile(`(?mi)^--\s*` + want).Match(src) {
				m.reportAt(name, "lua", "the header lacks a line that starts with %q: it is the script's signature", "-- "+want)
			}
		}
		for i, line := range strings.Split(string(src), "\n") {
			code, _, _ := strings.Cut(line, "--")
			if word := luaBan.FindString(code); word != "" {
				m.reportAt(name, "lua", "line %d uses %s: scripts run on Redis 7, Valkey, cluster and miniredis", i+1, word)
			}
		}
	}
}
