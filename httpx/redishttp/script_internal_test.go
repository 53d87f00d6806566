package redishttp

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

var (
	groupForm = regexp.MustCompile(`^\{([a-z_ ]+)\}\.\.\.$`)
	offsets   = regexp.MustCompile(`ARGV\[at \+ (\d+)\]`)
	computed  = regexp.MustCompile(`(KEYS|ARGV)\[([^\]]*)\]`)
)

// checkHeader compares what the script says that it takes, what its body reads, and what Go sends.
func checkHeader(src string) error {
	fields := map[string]string{}
	for line := range strings.Lines(src) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "--")
		if !ok {
			break
		}
		name, value, _ := strings.Cut(strings.TrimSpace(text), ":")
		fields[name] = strings.TrimSpace(value)
	}
	if fields["KEYS"] != "bucket..." || fields["returns"] == "" {
		return fmt.Errorf("the header has KEYS %q, returns %q", fields["KEYS"], fields["returns"])
	}
	group := groupForm.FindStringSubmatch(fields["ARGV"])
	if group == nil || len(strings.Fields(group[1])) != argsPerBucket {
		return fmt.Errorf("the header has ARGV %q, Go sends %d a key", fields["ARGV"], argsPerBucket)
	}
	if !strings.Contains(src, fmt.Sprintf("local at = %d * i - %d\n", argsPerBucket, argsPerBucket)) {
		return fmt.Errorf("the body does not step by %d", argsPerBucket)
	}
	read := map[int]bool{}
	for _, m := range offsets.FindAllStringSubmatch(src, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil || n < 1 || n > argsPerBucket {
			return fmt.Errorf("the body reads ARGV[at + %s]", m[1])
		}
		read[n] = true
	}
	if len(read) != argsPerBucket {
		return fmt.Errorf("the body reads %d of %d arguments", len(read), argsPerBucket)
	}
	for _, m := range computed.FindAllStringSubmatch(src, -1) {
		last := fmt.Sprintf("%d * i", argsPerBucket)
		if m[1] == "KEYS" && m[2] != "i" || m[1] == "ARGV" && !strings.HasPrefix(m[2], "at + ") && m[2] != last {
			return fmt.Errorf("the body reads %s", m[0])
		}
	}
	return nil
}

func TestScriptHeader(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkHeader(takeSource))
	for what, change := range map[string][2]string{
		"an argument that is not declared": {" limit}...", "}..."},
		"one too many":                     {" limit}...", " limit more}..."},
		"another step":                     {"local at = 5 * i - 5", "local at = 4 * i - 4"},
		"a read beyond the group":          {"ARGV[at + 4]", "ARGV[at + 6]"},
		"one that is never read":           {"ARGV[at + 4]", "ARGV[at + 3]"},
		"a neighbour's":                    {"ARGV[5 * i]", "ARGV[5 * i + 1]"},
		"a key that is not declared":       {"KEYS[i]", "KEYS[i + 1]"},
		"no returns":                       {"-- returns:", "-- gives:"},
	} {
		require.Error(t, checkHeader(mutate(t, change)), what)
	}
}

func mutate(t *testing.T, change [2]string) string {
	t.Helper()
	require.Contains(t, takeSource, change[0])
	return strings.ReplaceAll(takeSource, change[0], change[1])
}

// walk lets a script go random ways beside the model, on a clock that the test holds.
func walk(t *testing.T, source string, seed uint64) error {
	t.Helper()
	m := miniredis.RunT(t)
	now := time.Date(2030, 1, 2, 3, 4, 5, 678_000, time.UTC)
	m.SetTime(now)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { rdb.Close() })
	tick := func(d time.Duration) {
		now = now.Add(d)
		m.SetTime(now)
		m.FastForward(d)
	}
	store := &limits{rdb: rdb, prefix: "limits", take: redis.NewScript(source)}
	return httpxtest.WalkLimits(t.Context(), store, httpxtest.LimitFeatures{Tick: tick}, seed, 300)
}

// TestWalkCatches: each of these changes of the script is one that the random walk finds.
func TestWalkCatches(t *testing.T) {
	t.Parallel()
	require.NoError(t, walk(t, takeSource, 1))
	for fault, change := range map[string][2]string{
		"the clock of a process":             {"local now = time[1] * 1000000 + time[2]", fmt.Sprintf("local now = %d", time.Now().UnixMicro())},
		"a clock in milliseconds":            {"time[1] * 1000000 + time[2]", "math.floor((time[1] * 1000000 + time[2]) / 1000) * 1000"},
		"takes though another denies":        {"if before[1] == 0 then", "if false then"},
		"drops parts of a microsecond":       {"parts + ARGV[at + 2]", "parts"},
		"carries nothing":                    {"micros, parts = micros + 1, parts - rate", "parts = parts - rate"},
		"keeps the time in milliseconds":     {"now + micros, parts, ARGV[5 * i])", "math.ceil((now + micros) / 1000) * 1000, 0, ARGV[5 * i])"},
		"keeps as many digits as %g":         {"'%.0f:%.0f:%s', now", "'%.14g:%.0f:%s', now"},
		"believes a backlog of any length":   {"if micros > room or micros == room and parts > roomparts then --", "if false then --"},
		"keeps the time of another limit":    {"if old ~= limit then", "if false then"},
		"takes the period for the rate":      {"(per * oldrate) / (rate * oldper)", "(per * oldper) / (rate * oldrate)"},
		"denies with a backlog cut and lost": {"cut[#cut + 1] = i", ""},
		"counts to the microsecond":          {"micros == room and parts > roomparts", "micros == room and parts > 1e12"},
		"expires too soon":                   {"math.ceil(micros / 1000) + 1", "math.floor(micros / 2000) + 1"},
		"answers what was before":            {"\tend\nend\nreturn after", "\tend\nend\nreturn before"},
	} {
		found := 0
		var err error
		for seed := uint64(1); seed <= 5 && err == nil; seed++ {
			err = walk(t, mutate(t, change), seed)
			found++
		}
		require.Error(t, err, fault)
		t.Logf("%s: walk %d: %.100v", fault, found, err)
	}
}
