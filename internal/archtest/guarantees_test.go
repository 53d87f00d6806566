package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	quotedCommand = regexp.MustCompile("`[^`]*go test[^`]*`")
	commandWord   = regexp.MustCompile(`'[^']*'|\S+`)
	innerGroup    = regexp.MustCompile(`\(([^()]*)\)`)
	testFunction  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
)

// TestGuaranteesNameTestsThatExist: a claim whose command runs no test would look like one that was shown.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/guarantees.md")
	require.NoError(t, err)
	named := 0
	for _, quoted := range quotedCommand.FindAllString(string(text), -1) {
		for _, missing := range missingTests(t, "../..", strings.Trim(quoted, "`")) {
			t.Errorf("%s: no test matches %s", quoted, missing)
		}
		named++
	}
	require.Greater(t, named, 200, "the commands of the page were not found")
}

func TestMissingTestsAreFound(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "cache", "inner"), 0o755))
	for file, name := range map[string]string{"a_test.go": "TestOne", "inner/b_test.go": "FuzzTwo"} {
		source := "package x\n\nfunc " + name + "(t *testing.T) {}\n"
		require.NoError(t, os.WriteFile(filepath.Join(root, "cache", file), []byte(source), 0o600))
	}
	for command, want := range map[string][]string{
		"go test -race ./cache":                                    nil,
		"go test -run TestOne ./cache":                             nil,
		"go test ./cache -run '^Test(One|Three)$' -v":              {"^TestThree$ in ./cache"},
		`go test ./cache/... -run 'TestOne/part\|FuzzTwo'`:         nil,
		"go test -fuzz FuzzTwo ./cache; go test -run One ./cache":  {"FuzzTwo in ./cache"},
		"cd cache && go test -run Two ./inner && go test -run Two": {"Two in ./"},
		"go test -run TestOne ./gone":                              {"TestOne in ./gone"},
	} {
		require.Equal(t, want, missingTests(t, root, command), command)
	}
}

// missingTests answers which of the tests that a line of commands names are not there.
func missingTests(t *testing.T, root, line string) (missing []string) {
	dir := root
	for command := range strings.SplitSeq(strings.ReplaceAll(line, "&&", ";"), ";") {
		var patterns, packages []string
		words := commandWord.FindAllString(command, -1)
		for i, word := range words {
			switch {
			case i > 0 && words[i-1] == "cd":
				dir = filepath.Join(root, word)
			case strings.HasPrefix(word, "./"):
				packages = append(packages, word)
			case i > 0 && (words[i-1] == "-run" || words[i-1] == "-fuzz" || words[i-1] == "-bench"):
				pattern := strings.ReplaceAll(strings.Trim(word, "'"), `\|`, "|") // as a table of Markdown has to write it
				patterns = append(patterns, alternatives(pattern)...)
			}
		}
		if len(packages) == 0 {
			packages = []string{"./"}
		}
		names := testsIn(t, dir, packages)
		for _, pattern := range patterns {
			pattern, _, _ = strings.Cut(pattern, "/") // what follows names parts of a test
			if pattern != "^$" && !regexp.MustCompile("(?m)"+pattern).MatchString(names) {
				missing = append(missing, pattern+" in "+strings.Join(packages, " "))
			}
		}
	}
	return missing
}

// alternatives writes a(b|c) out as ab and ac.
func alternatives(pattern string) []string {
	group := innerGroup.FindStringSubmatchIndex(pattern)
	if group == nil {
		return strings.Split(pattern, "|")
	}
	var all []string
	for choice := range strings.SplitSeq(pattern[group[2]:group[3]], "|") {
		all = append(all, alternatives(pattern[:group[0]]+choice+pattern[group[1]:])...)
	}
	return all
}

// testsIn answers the names of the tests in packages below dir, one a line.
func testsIn(t *testing.T, dir string, packages []string) string {
	var names strings.Builder
	for _, pattern := range packages {
		under, all := strings.CutSuffix(pattern, "/...")
		under = filepath.Join(dir, under)
		_ = filepath.WalkDir(under, func(at string, entry os.DirEntry, err error) error {
			switch {
			case err != nil || !strings.HasSuffix(at, "_test.go"):
				return err
			case all || filepath.Dir(at) == under:
				source, err := os.ReadFile(at)
				require.NoError(t, err)
				for _, m := range testFunction.FindAllSubmatch(source, -1) {
					names.Write(append(m[1], '\n'))
				}
			}
			return nil
		})
	}
	return names.String()
}
