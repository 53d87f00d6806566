package tenancy

import (
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"
)

// lasting tells whether a statement may leave something in its session that outlives the transaction: a setting, a role, a
// temporary object, a cursor WITH HOLD, a LISTEN or a session-level advisory lock. The connection is closed after the unit
// then, instead of being reused for another tenant. A false positive costs a connection. What a function does inside, and
// what its name does not say, stays hidden.
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
		case 's', 'l', 'h', 't', 'p', 'd', 'u':
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
	case "set", "listen", "load", "prepare", "do":
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

// hidden finds names that are told apart from others by how they begin.
func hidden(word string) bool {
	return strings.HasPrefix(word, "pg_temp") || strings.HasPrefix(word, "pg_advisory_lock") || strings.HasPrefix(word, "pg_try_advisory_lock")
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
		if next := at(1); at(2) == "." || next != "local" && next != "transaction" && next != "constraints" {
			return true
		}
	case "listen", "load", "prepare", "do":
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
	return strings.Contains(text, "pg_temp") || strings.Contains(text, "set_config") || strings.Contains(text, "advisory_lock")
}

// local tells whether the arguments of set_config, of which the tokens are given, are three and the last one is true.
func local(tokens []string) bool {
	depth, args, length, last := 0, 1, 0, ""
	for _, token := range tokens {
		switch token {
		case "(", "[":
			depth++
		case ")", "]":
			if depth--; depth == 0 {
				return args == 3 && length == 1 && strings.EqualFold(last, "true")
			}
		case ",":
			if depth == 1 {
				args, length = args+1, 0
				continue
			}
		}
		if depth == 0 {
			return false
		}
		length, last = length+1, token
	}
	return false
}
