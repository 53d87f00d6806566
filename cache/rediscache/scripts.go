package rediscache

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts are the Lua programs, one per transition.
type scripts struct {
	claim, fill, put, renew, abandon, invalidate, hold, stamp, add, lock, unlock *script

	// plain is set once the server turned out not to know the #! line (before Redis 7, and
	// miniredis); flags are left out from then on.
	plain atomic.Bool
}

// script is a Lua program and what its header declares.
type script struct {
	name                 string
	header               header
	plain, flagged       string // source without and with the #! line
	plainSHA, flaggedSHA string
}

// header is the comment at the top of a script: its declared keys and arguments. A last name
// with "..." stands for any number.
type header struct {
	keys, args, returns, flags string
}

func loadScripts() (*scripts, error) {
	s := &scripts{}
	for name, p := range map[string]**script{
		"claim": &s.claim, "fill": &s.fill, "put": &s.put, "renew": &s.renew, "abandon": &s.abandon,
		"invalidate": &s.invalidate, "hold": &s.hold, "stamp": &s.stamp,
		"add": &s.add, "lock": &s.lock, "unlock": &s.unlock,
	} {
		src, err := luaFiles.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return nil, err
		}
		if *p, err = newScript(name, string(src)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func newScript(name, src string) (*script, error) {
	h, err := parseHeader(src)
	if err != nil {
		return nil, fmt.Errorf("lua/%s.lua: %w", name, err)
	}
	s := &script{name: name, header: h, plain: src, flagged: src}
	if h.flags != "" {
		s.flagged = "#!lua flags=" + h.flags + "\n" + src
	}
	s.plainSHA, s.flaggedSHA = sha(s.plain), sha(s.flagged)
	return s, nil
}

func sha(src string) string {
	sum := sha1.Sum([]byte(src))
	return hex.EncodeToString(sum[:])
}

// parseHeader reads the comment lines "-- KEYS: …", "-- ARGV: …", "-- returns: …" and, if
// there is one, "-- flags: …".
func parseHeader(src string) (h header, err error) {
	for line := range strings.Lines(src) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "--")
		if !ok {
			break
		}
		key, value, _ := strings.Cut(strings.TrimSpace(text), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "KEYS":
			h.keys = value
		case "ARGV":
			h.args = value
		case "returns":
			h.returns = value
		case "flags":
			h.flags = value
		}
	}
	if h.keys == "" || h.args == "" || h.returns == "" {
		return h, fmt.Errorf("the header must have KEYS, ARGV and returns")
	}
	return h, nil
}

// count returns how many names a header line declares, and whether the last may repeat.
func count(names string) (n int, more bool) {
	if names == "none" {
		return 0, false
	}
	return strings.Count(names, ",") + 1, strings.HasSuffix(names, "...")
}

func fits(names string, n int) bool {
	want, more := count(names)
	return n == want || more && n >= want-1
}

// call is one run of a script in a pipeline.
type call struct {
	script *script
	keys   []string
	args   []any
	cmd    *redis.Cmd
}

func (s *scripts) queue(ctx context.Context, pipe redis.Pipeliner, sc *script, keys []string, args ...any) (*call, error) {
	if !fits(sc.header.keys, len(keys)) || !fits(sc.header.args, len(args)) {
		return nil, fmt.Errorf("lua/%s.lua wants KEYS %s and ARGV %s, got %d and %d",
			sc.name, sc.header.keys, sc.header.args, len(keys), len(args))
	}
	c := &call{script: sc, keys: keys, args: args}
	sum := sc.flaggedSHA
	if s.plain.Load() {
		sum = sc.plainSHA
	}
	c.cmd = pipe.EvalSha(ctx, sum, keys, args...)
	return c, nil
}

// resend runs the calls again, with their source, that met a server which did not have it.
func (s *scripts) resend(ctx context.Context, rdb redis.UniversalClient, calls []*call) {
	for range 2 { // the second time in case the server does not know flags
		pipe := rdb.Pipeline()
		again := 0
		plain := s.plain.Load()
		for _, c := range calls {
			err := c.cmd.Err()
			if !redis.HasErrorPrefix(err, "NOSCRIPT") && !unknownFlags(err) {
				continue
			}
			src := c.script.flagged
			if plain || unknownFlags(err) {
				src = c.script.plain
			}
			c.cmd = pipe.Eval(ctx, src, c.keys, c.args...)
			again++
		}
		if again == 0 {
			return
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
		for _, c := range calls {
			if unknownFlags(c.cmd.Err()) {
				s.plain.Store(true)
			}
		}
	}
}

// unknownFlags recognizes that a server could not read the #! line.
func unknownFlags(err error) bool {
	return err != nil && strings.Contains(err.Error(), "ompil")
}
