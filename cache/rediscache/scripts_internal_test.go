package rediscache

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

var indexed = regexp.MustCompile(`\b(KEYS|ARGV)\[([^\]]+)\]`)

// checkHeader compares the names a script declares with the positions its body uses.
func checkHeader(src string) error {
	h, err := parseHeader(src)
	if err != nil {
		return err
	}
	for list, names := range map[string]string{"KEYS": h.keys, "ARGV": h.args} {
		declared, more := count(names)
		used := map[int]bool{}
		computed := false
		for _, m := range indexed.FindAllStringSubmatch(src, -1) {
			if m[1] != list {
				continue
			}
			n, err := strconv.Atoi(m[2])
			if err != nil {
				computed = true
				continue
			}
			used[n] = true
			if n > declared || more && n == declared {
				return fmt.Errorf("%s[%d] is used, declared are: %s", list, n, names)
			}
		}
		if computed != more {
			return fmt.Errorf("%s with a computed position: %v, declared are: %s", list, computed, names)
		}
		for n := 1; n <= declared; n++ {
			if !used[n] && !(more && n == declared) {
				return fmt.Errorf("%s[%d] is never used, declared are: %s", list, n, names)
			}
		}
	}
	if !strings.Contains(src, "\nreturn ") {
		return fmt.Errorf("returns nothing, declared is: %s", h.returns)
	}
	for _, banned := range []string{"bit.", "struct.", "cmsgpack.", "cjson.", "redis.replicate"} {
		if strings.Contains(src, banned) {
			return fmt.Errorf("uses %s, which not every server has", banned)
		}
	}
	return nil
}

func TestScriptHeaders(t *testing.T) {
	t.Parallel()
	files, err := luaFiles.ReadDir("lua")
	require.NoError(t, err)
	require.Len(t, files, 11)
	for _, f := range files {
		src, err := luaFiles.ReadFile("lua/" + f.Name())
		require.NoError(t, err)
		require.NoError(t, checkHeader(string(src)), f.Name())
	}
}

func TestScriptHeadersCatchesWrongOnes(t *testing.T) {
	t.Parallel()
	src, err := luaFiles.ReadFile("lua/fill.lua")
	require.NoError(t, err)
	fill := string(src)
	require.NoError(t, checkHeader(fill))
	for name, wrong := range map[string]string{
		"no header":             fill[strings.Index(fill, "local"):],
		"a key too few":         strings.Replace(fill, "-- KEYS: entry", "-- KEYS: none", 1),
		"a key too many":        strings.Replace(fill, "-- KEYS: entry", "-- KEYS: entry, other", 1),
		"an argument too few":   strings.Replace(fill, "ttl, channel, message", "ttl, channel", 1),
		"an argument too many":  strings.Replace(fill, "channel, message", "channel, message, more", 1),
		"repeats undeclared":    strings.Replace(fill, "ARGV[5]", "ARGV[i]", 1),
		"declared repeats":      strings.Replace(fill, "channel, message", "channel, message...", 1),
		"no result":             strings.Replace(fill, "\nreturn stored", "\n", 1),
		"a library of its own":  fill + "\nlocal x = cjson.encode({})\nreturn 1\n",
		"no returns declared":   strings.Replace(fill, "-- returns:", "-- gives:", 1),
		"KEYS swapped for ARGV": strings.Replace(fill, "ARGV[3]", "KEYS[3]", 1),
	} {
		require.NotEqual(t, fill, wrong, name)
		require.Error(t, checkHeader(wrong), name)
	}
}

// A Go call that does not fit the header never leaves the process.
func TestCallsMustFitTheHeader(t *testing.T) {
	t.Parallel()
	s, err := loadScripts()
	require.NoError(t, err)
	pipe := redis.NewClient(&redis.Options{}).Pipeline()
	queue := func(sc *script, keys int, args int) error {
		_, err := s.queue(t.Context(), pipe, sc, make([]string, keys), make([]any, args)...)
		return err
	}
	require.NoError(t, queue(s.fill, 1, 5))
	require.ErrorContains(t, queue(s.fill, 1, 4), "lua/fill.lua wants KEYS entry")
	require.Error(t, queue(s.fill, 1, 6))
	require.Error(t, queue(s.fill, 2, 5))
	require.NoError(t, queue(s.stamp, 5, 9))
	require.NoError(t, queue(s.stamp, 1, 5))
	require.Error(t, queue(s.stamp, 0, 5))
	require.Error(t, queue(s.stamp, 3, 4))
}
