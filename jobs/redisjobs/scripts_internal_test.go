package redisjobs

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

var (
	keyUse  = regexp.MustCompile(`KEYS\[([^\]]*)\]`)
	argUse  = regexp.MustCompile(`ARGV\[(\d+)\]`)
	binding = regexp.MustCompile(`(?m)^local ([\w, ]+) = (KEYS\[.*)$`)
	argBind = regexp.MustCompile(`(?m)^local ([\w, ]+) = ((?:tonumber\()?ARGV\[.*)$`)
	library = regexp.MustCompile(`\b(bit|struct|cmsgpack)\.`)
)

// checkScript compares a script's header with its body and with the Go call.
func checkScript(c command, source string) error {
	h := parseHeader(source)
	if h.keys != c.keys {
		return fmt.Errorf("header has KEYS %q, Go passes %q", h.keys, c.keys)
	}
	if argv, _, _ := strings.Cut(h.argv, ":"); argv != c.argv {
		return fmt.Errorf("header has ARGV %q, Go passes %q", argv, c.argv)
	}
	if h.returns == "" {
		return fmt.Errorf("header does not say what is returned")
	}
	if library.MatchString(source) {
		return fmt.Errorf("uses a library that not every server has")
	}
	// Each key is bound once, in order, to the name the header gives it.
	var bound []string
	for _, m := range binding.FindAllStringSubmatch(source, -1) {
		names, keys := strings.Split(m[1], ", "), keyUse.FindAllStringSubmatch(m[2], -1)
		if len(names) != len(keys) {
			return fmt.Errorf("%q binds %d keys to %d names", m[0], len(keys), len(names))
		}
		for i, key := range keys {
			if key[1] != strconv.Itoa(len(bound)+1) {
				return fmt.Errorf("%q binds KEYS[%s] where KEYS[%d] is next", m[0], key[1], len(bound)+1)
			}
			bound = append(bound, names[i])
		}
	}
	want := strings.Fields(c.keys)
	if last := len(want) - 1; strings.HasSuffix(want[last], "...") { // the rest, each in turn
		want = want[:last]
		if strings.Count(source, "KEYS[i]") != 1 || !strings.Contains(source, fmt.Sprintf("for i = %d, #KEYS do", last+1)) {
			return fmt.Errorf("the repeated keys are not read from position %d", last+1)
		}
		source = strings.Replace(source, "KEYS[i]", "", 1)
	}
	if !slices.Equal(want, bound) {
		return fmt.Errorf("body binds the keys %v, header names %v", bound, want)
	}
	if uses := len(keyUse.FindAllString(source, -1)); uses != len(bound) {
		return fmt.Errorf("body uses KEYS %d times, binds %d", uses, len(bound))
	}
	return checkArgs(c, source)
}

// checkArgs wants the fixed arguments bound in the header's order, and the
// repeated ones read from the first position after them.
func checkArgs(c command, source string) error {
	if c.argv == "none" {
		c.argv = ""
	}
	fixed := strings.Fields(strings.Split(c.argv, "{")[0])
	for i, name := range fixed {
		fixed[i] = strings.Split(name, "(")[0]
	}
	var bound []string
	for _, m := range argBind.FindAllStringSubmatch(source, -1) {
		names, args := strings.Split(m[1], ", "), argUse.FindAllStringSubmatch(m[2], -1)
		for i, arg := range args {
			if arg[1] != strconv.Itoa(len(bound)+1) {
				return fmt.Errorf("%q binds ARGV[%s] where ARGV[%d] is next", m[0], arg[1], len(bound)+1)
			}
			bound = append(bound, names[i])
		}
	}
	if !slices.Equal(fixed, bound) {
		return fmt.Errorf("body binds the arguments %v, header names %v", bound, fixed)
	}
	if !strings.Contains(c.argv, "{") {
		return nil
	}
	first := strconv.Itoa(len(fixed) + 1)
	reads := []string{"ARGV, " + first + ")", "unpack(ARGV, " + first + ",", "for i = " + first + ", ", "local at = " + first + "\n"}
	if !slices.ContainsFunc(reads, func(read string) bool { return strings.Contains(source, read) }) {
		return fmt.Errorf("the repeated arguments are not read from position %s", first)
	}
	return nil
}

func TestScriptsMatchTheirHeaders(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		source, err := readSource(c.name)
		require.NoError(t, err)
		require.NoError(t, checkScript(c, source), c.name)
	}
	files, err := sources.ReadDir("lua")
	require.NoError(t, err)
	parts := 0
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "part_") {
			parts++
		}
	}
	require.Len(t, files, len(commands)+parts, "a script is not in commands")
}

// The check has to catch what it is there for.
func TestScriptCheckCatchesFaults(t *testing.T) {
	t.Parallel()
	good, err := readSource("exchange")
	require.NoError(t, err)
	for name, fault := range map[string][2]string{
		"keys swapped in the header": {"ready due body", "due ready body"},
		"keys swapped in the body":   {"local ready, due,", "local due, ready,"},
		"undeclared key":             {"local next_at = nil", "redis.call('DEL', KEYS[11])"},
		"computed key":               {"local next_at = nil", "redis.call('DEL', KEYS[#KEYS])"},
		"argument swapped":           {"local worker, seq, want", "local seq, worker, want"},
		"argument added":             {"-- ARGV: worker", "-- ARGV: queue worker"},
		"arguments shifted":          {"unpack(ARGV, 7,", "unpack(ARGV, 8,"},
		"banned library":             {"local next_at = nil", "local next_at = bit.band(1, 1)"},
		"no returns":                 {"-- returns:", "-- gives:"},
	} {
		require.Contains(t, good, fault[0])
		require.Error(t, checkScript(exchange, strings.Replace(good, fault[0], fault[1], 1)), name)
	}
}

// Go passes as many values per job and outcome as the header lists.
func TestArgumentGroups(t *testing.T) {
	t.Parallel()
	group := func(c command) int {
		_, rest, _ := strings.Cut(c.argv, "{")
		fields, _, _ := strings.Cut(rest, "}")
		return len(strings.Fields(fields))
	}
	for _, c := range []command{push, pushAt, fire} {
		args, err := appendJobs(nil, make([]driver.Job, 3))
		require.NoError(t, err)
		require.Len(t, args, 3*group(c), c.name)
	}
}

// The shebang of a drain must let it run on a full server, that of an enqueue
// must not.
func TestFlags(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		text, err := assemble(c.name, true)
		require.NoError(t, err)
		first, _, _ := strings.Cut(text, "\n")
		adds := slices.Contains([]string{"push", "pushplain", "pushone", "pushat", "fire", "flow_start", "schedule_put", "schedule_claim", "schedule_fire"}, c.name)
		require.Equal(t, !adds, strings.Contains(first, "allow-oom"), "%s: %s", c.name, first)
		plain, err := assemble(c.name, false)
		require.NoError(t, err)
		require.NotContains(t, plain, "#!")
	}
}
