package tenancy

import (
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"
)

// lasting tells whether a statement may leave something in its session that outlives the transaction: a setting, a role, a
// temporary object, a prepared statement, a seed of random(), a cursor WITH HOLD, a LISTEN or a session-level advisory lock, or
// may take something of the session away, or make the server read later texts differently than we do. The connection is closed
// after the unit then, instead of being reused for another tenant. A false positive costs a connection. What a function of the
// database's own does inside stays hidden.
func lasting(sql string) bool {
	if !suspicious(sql) {
		return false
	}
	var statement []string
	for token := range sqlsplit.Tokens(sql) {
		if token != ";" {
			statement = append(statement, token)
			continue
		}
		if leaves(statement) {
			return true
		}
		statement = statement[:0]
	}
	return leaves(statement)
}

// suspicious looks for the words that leaves knows. Most statements have none, so only few are taken apart.
func suspicious(sql string) bool {
	inWord := false
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		if !wordByte(c) {
			inWord = false
			continue
		}
		if inWord {
			continue
		}
		inWord = true
		switch c | 0x20 { // the first letters of what tells looks for, few words in most statements
		case 's', 'l', 'h', 't', 'p', 'd', 'u', 'r', 'q':
			end := i + 1
			for end < len(sql) && wordByte(sql[end]) {
				end++
			}
			if tells(sql[:i], sql[i:end], sql[end:]) {
				return true
			}
			i = end - 1
		}
	}
	return false
}

func wordByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

func tells(before, word, after string) bool {
	switch word := strings.ToLower(word); word {
	case "set", "listen", "load", "prepare", "do", "reset", "discard", "deallocate", "unlisten":
		return mayBegin(before)
	case "hold", "temp", "temporary", "set_config", "pg_settings":
		return true
	case "u":
		return strings.HasPrefix(after, `&"`)
	default:
		return hidden(word)
	}
}

// mayBegin tells whether a statement may begin after the text: behind nothing, a semicolon or a comment.
func mayBegin(before string) bool {
	before = strings.TrimRight(before, " \t\r\n\f\v")
	line := before[strings.LastIndexAny(before, "\r\n")+1:]
	return before == "" || strings.HasSuffix(before, ";") || strings.HasSuffix(before, "*/") || strings.Contains(line, "--")
}

// hidden finds names that are told apart from others by how they begin, and those of functions that run a text, which may be
// put together from pieces, or that seed random().
func hidden(word string) bool {
	switch word {
	case "ts_stat", "ts_rewrite", "setseed":
		return true
	}
	return strings.HasPrefix(word, "pg_temp") || strings.HasPrefix(word, "pg_advisory_lock") || strings.HasPrefix(word, "pg_try_advisory_lock") ||
		strings.HasPrefix(word, "query_to_xml")
}

// leaves judges the tokens of one statement.
func leaves(statement []string) bool {
	at := func(i int) string {
		if i < 0 || i >= len(statement) {
			return ""
		}
		return strings.ToLower(statement[i])
	}
	switch at(0) {
	case "set": // a setting of the program's own may be called local.x
		next := at(1)
		if at(2) == "." || next != "local" && next != "transaction" && next != "constraints" || next == "local" && !plainly(statement[2:]) {
			return true
		}
	case "listen", "load", "prepare", "do", "reset", "discard", "deallocate", "unlisten":
		return true
	}
	updates, dropped := false, false
	for i := range statement {
		dropped = dropped || at(i-2) == "on" && at(i-1) == "commit" && at(i) == "drop"
	}
	for i := range statement {
		switch word := at(i); word {
		case "update":
			updates = true
		case "pg_settings", `"pg_settings"`: // has a rule that calls set_config
			if updates {
				return true
			}
		case "set_config":
			if !local(statement[i+1:]) {
				return true
			}
		case "hold":
			if at(i-1) == "with" {
				return true
			}
		case "temp", "temporary":
			switch at(i - 1) {
			case "create", "replace", "into", "local", "global":
				if !dropped {
					return true
				}
			}
		case "u": // a name in escapes, which may spell any of these
			if at(i+1) == "&" && strings.HasPrefix(at(i+2), `"`) {
				return true
			}
		default:
			if hidden(word) || strings.ContainsAny(word, `"'$`) && quotes(word) {
				return true
			}
		}
	}
	return false
}

// quotes finds the same in a quoted name, and in a string that a function may run.
func quotes(text string) bool {
	for _, name := range []string{"pg_temp", "set_config", "advisory_lock", "query_to_xml", "ts_stat", "ts_rewrite", "setseed"} {
		if strings.Contains(text, name) {
			return true
		}
	}
	return false
}

// plainly tells whether the tokens behind SET LOCAL change a setting until the end of the transaction and nothing else.
func plainly(tokens []string) bool {
	for _, token := range tokens { // in escapes, which may spell anything
		if strings.EqualFold(token, "u") || strings.HasPrefix(token, "e'") || strings.HasPrefix(token, "E'") {
			return false
		}
	}
	return len(tokens) > 0 && !lingers(strings.Trim(tokens[0], `"`))
}

// lingers tells settings that do more than to hold until the end of the transaction: the seed is used at once, and the others
// change how the server reads the texts that follow.
func lingers(setting string) bool {
	switch strings.ToLower(setting) {
	case "seed", "standard_conforming_strings", "client_encoding", "names":
		return true
	}
	return false
}

// local tells whether the arguments of set_config, of which the tokens are given, are three, the last one is true, and the name
// of the setting, and a search_path, can be read.
func local(tokens []string) bool {
	depth, args := 0, [][]string{nil}
	for _, token := range tokens {
		switch token {
		case "(", "[":
			if depth++; depth == 1 {
				continue
			}
		case ")", "]":
			if depth--; depth == 0 {
				return len(args) == 3 && len(args[2]) == 1 && strings.EqualFold(args[2][0], "true") && legible(args[0], args[1])
			}
		case ",":
			if depth == 1 {
				args = append(args, nil)
				continue
			}
		}
		if depth == 0 {
			return false
		}
		args[len(args)-1] = append(args[len(args)-1], token)
	}
	return false
}

func legible(name, value []string) bool {
	plain := func(arg []string) bool {
		return len(arg) == 1 && arg[0][0] == '\'' || len(arg) == 2 && arg[0] == "$"
	}
	if !plain(name) || lingers(strings.Trim(name[0], "'")) {
		return false
	}
	return !strings.EqualFold(name[0], "'search_path'") || plain(value)
}
