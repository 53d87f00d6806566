package tenancy

import "strings"

// lasting tells whether a statement may leave something in its session that outlives the transaction: a setting, a role, a
// temporary table, a cursor WITH HOLD, a LISTEN or a session-level advisory lock. The connection is closed after the unit
// then, instead of being reused for another tenant. It reads words, not SQL: a false positive costs a connection. What a
// function does inside, and what its name does not say, stays hidden.
func lasting(sql string) bool {
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
		switch c | 0x20 { // the first letters of what leaves looks for, few words in most statements
		case 's', 'l', 'h', 't', 'p':
			end := i + 1
			for end < len(sql) && wordByte(sql[end]) {
				end++
			}
			if leaves(sql[:i], sql[i:end], sql[end:]) {
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

// leaves judges a word by what stands before and after it.
func leaves(before, word, after string) bool {
	switch word := strings.ToLower(word); word {
	case "set":
		return begins(before) && !followed(after, "local", "transaction", "constraints")
	case "set_config":
		args, _, _ := strings.Cut(after, ")")
		return !followed(args[strings.LastIndexByte(args, ',')+1:], "true")
	case "listen", "load", "prepare":
		return begins(before)
	case "hold":
		return ends(before, "with")
	case "temp", "temporary":
		return (ends(before, "create") || ends(before, "into")) &&
			!strings.Contains(strings.ToLower(strings.Join(strings.Fields(after), " ")), "on commit drop")
	default:
		return strings.HasPrefix(word, "pg_advisory_lock") || strings.HasPrefix(word, "pg_try_advisory_lock")
	}
}

// begins tells whether a statement begins after the text.
func begins(before string) bool {
	before = bare(before)
	return before == "" || before[len(before)-1] == ';'
}

func ends(before, word string) bool {
	before = bare(before)
	return len(before) >= len(word) && strings.EqualFold(before[len(before)-len(word):], word)
}

func followed(after string, words ...string) bool {
	after = bare(after)
	for _, w := range words {
		if len(after) >= len(w) && strings.EqualFold(after[:len(w)], w) {
			return true
		}
	}
	return false
}

// bare removes comments and the space around the rest.
func bare(sql string) string {
	for _, c := range [2][2]string{{"/*", "*/"}, {"--", "\n"}} {
		for {
			i := strings.Index(sql, c[0])
			if i < 0 {
				break
			}
			n := strings.Index(sql[i:], c[1])
			if n < 0 {
				sql = sql[:i]
				break
			}
			sql = sql[:i] + " " + sql[i+n+len(c[1]):]
		}
	}
	return strings.TrimSpace(sql)
}
