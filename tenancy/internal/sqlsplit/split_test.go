package sqlsplit_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"
)

func texts(list []sqlsplit.Statement) (out []string) {
	for _, s := range list {
		out = append(out, s.Text)
	}
	return out
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                                    nil,
		" ; -- only; this\n;":                 nil,
		"select 1":                            {"select 1"},
		"select 1; select 2;":                 {"select 1", "select 2"},
		"select ';'';'; select \";\"\";\"":    {"select ';'';'", "select \";\"\";\""},
		`select e'\';'; select '\'; select 3`: {`select e'\';'`, `select '\'`, "select 3"},
		"select $$;$$; select $a$;$$;$a$; x":  {"select $$;$$", "select $a$;$$;$a$", "x"},
		"select $1; select a$b; select 2$c":   {"select $1", "select a$b", "select 2$c"},
		"/* ; /* ; */ ; */ select 1 -- ;\n;2": {"select 1 -- ;", "2"},
		"create rule r as on insert to t do also (delete from a; delete from b); select 1": {
			"create rule r as on insert to t do also (delete from a; delete from b)", "select 1",
		},
		"create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3": {
			"create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end", "select 3",
		},
		"begin; select case when 1=1 then 2 end; end": {"begin", "select case when 1=1 then 2 end", "end"},
		"select 'open ; still":                        {"select 'open ; still"},
		"select e'a'\n'\\';' ; 2":                     {"select e'a'\n'\\';'", "2"},
		"select e'a' -- b\n--c\r'\\';' ; 2":           {"select e'a' -- b\n--c\r'\\';'", "2"},
		"select e'a' '\\'; 2":                         {"select e'a' '\\'", "2"},
		"select 'a'\n'\\'; 2":                         {"select 'a'\n'\\'", "2"},
		"select 1a$b$; 2 -- $b$":                      {"select 1a$b$", "2 -- $b$"},
		"select) ; 2":                                 {"select)", "2"},
	} {
		require.Equal(t, want, texts(sqlsplit.Split(text)), text)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	list := sqlsplit.Split("-- head\n\nselect 1;\n/* a\nb */ update x\nset y = 1;\n  delete from z")
	require.Equal(t, []int{3, 5, 7}, []int{list[0].Line, list[1].Line, list[2].Line})
}

func TestWords(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"set", "local", "'Role'"}, sqlsplit.Words(" /* hint */ SET--x\n Local 'Role' z", 3))
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"select 1; select 2", "$a$;$a$;", "/*/**/;", "e'\\';", "create function f() begin atomic;end;", "'", "\"", "$", "((;", "é;ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := sqlsplit.Split(text)
		at := 0
		for _, s := range list {
			i := strings.Index(text[at:], s.Text)
			if i < 0 || s.Text == "" {
				t.Fatalf("%q is not a part of %q behind %d", s.Text, text, at)
			}
			at += i + len(s.Text)
			if again := sqlsplit.Split(s.Text); len(again) != 1 || again[0].Text != s.Text {
				t.Fatalf("%q of %q splits again: %q", s.Text, text, texts(again))
			}
			sqlsplit.Words(s.Text, 3)
		}
	})
}
