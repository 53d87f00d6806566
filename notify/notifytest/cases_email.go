package notifytest

import (
	"errors"
	"strings"
	"testing"

	"github.com/ashlar-go/ashlar/notify"
)

// rich has all that mail encodings get wrong.
const rich = "Grüße, Ω, 日本語, 🚀 and a very long line: " +
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" +
	".\n..two dots\n.leading dot\ntrailing space \n\ttab\nequals = and =3D\nFrom the start\n\nend"

var emailCases = []struct {
	name string
	why  string
	body func(*testing.T, EmailHarness)
}{
	{"text arrives unchanged", "encodings lose dots, spaces and accents", func(t *testing.T, h EmailHarness) {
		wantEmail(t, h, notify.Email{Key: "k", To: ann, Subject: "Hello", Text: rich})
		wantEmail(t, h, notify.Email{Key: "k2", To: ann, Subject: "Hello", Text: "a\rb\nc"}) // quotedprintable loses this \n
	}},
	{"html alone", "text may be left out", func(t *testing.T, h EmailHarness) {
		wantEmail(t, h, notify.Email{Key: "k", To: ann, Subject: "Hello", HTML: "<p>" + rich + "</p>"})
	}},
	{"text and html", "readers choose", func(t *testing.T, h EmailHarness) {
		wantEmail(t, h, notify.Email{Key: "k", To: ann, Subject: "Hello", Text: rich, HTML: "<p>" + rich + "</p>"})
	}},
	{"subjects and names of any language", "RFC 2047", func(t *testing.T, h EmailHarness) {
		for _, s := range []string{
			"Zażółć gęślą jaźń", strings.Repeat("日本語", 20), "🚀 launch", "مرحبا بالعالم", "a=?utf-8?q?b?=c",
			"quotes \" and \\", "comma, semicolon; colon: <angle> (round) @", strings.Repeat("long ", 24) + "end",
		} {
			wantEmail(t, h, notify.Email{To: notify.Address{Name: s[:runeCut(s, 100)], Email: emailTo}, Subject: s, Text: "x"})
		}
	}},
	{"no name", "a bare address is common", func(t *testing.T, h EmailHarness) {
		wantEmail(t, h, notify.Email{Key: "k", To: notify.Address{Email: emailTo}, Subject: "Hello", Text: "x"})
	}},
	{"large bodies", "1 MiB is the limit", func(t *testing.T, h EmailHarness) {
		wantEmail(t, h, notify.Email{Key: "k", To: ann, Subject: "Hello", Text: strings.Repeat("0123456789abcde\n", 1<<16)})
		refused(t, h, notify.Email{Key: "k2", To: ann, Subject: "Hello", Text: strings.Repeat("x", 1<<20+1)})
	}},
	{"header and command injection", "a line break in data must not become a header", func(t *testing.T, h EmailHarness) {
		evil := "x\r\nBcc: evil@example.com"
		refused(t, h, notify.Email{To: ann, Subject: evil, Text: "x"})
		refused(t, h, notify.Email{To: ann, Subject: "x\nBcc: evil@example.com", Text: "x"})
		refused(t, h, notify.Email{To: ann, Subject: "x\rBcc: evil@example.com", Text: "x"})
		refused(t, h, notify.Email{To: ann, Subject: "x\u2028Bcc: evil@example.com", Text: "x"})
		refused(t, h, notify.Email{To: notify.Address{Name: evil, Email: emailTo}, Subject: "x", Text: "x"})
		refused(t, h, notify.Email{To: notify.Address{Email: emailTo + ">\r\nRCPT TO:<evil@example.com"}, Subject: "x", Text: "x"})
		refused(t, h, notify.Email{To: notify.Address{Email: emailTo + ",evil@example.com"}, Subject: "x", Text: "x"})
		refused(t, h, notify.Email{To: ann, Key: "k\r\nBcc: evil@example.com", Subject: "x", Text: "x"})
	}},
	{"malformed messages", "better here than at the provider", func(t *testing.T, h EmailHarness) {
		refused(t, h, notify.Email{})
		refused(t, h, notify.Email{To: ann, Subject: "no body"})
		refused(t, h, notify.Email{To: ann, Text: "no subject"})
		refused(t, h, notify.Email{To: ann, Subject: "not \xff UTF-8", Text: "x"})
		refused(t, h, notify.Email{To: ann, Subject: "nul", Text: "a\x00b"})
		refused(t, h, notify.Email{To: notify.Address{Email: "no-at.example"}, Subject: "x", Text: "x"})
	}},
}

var ann = notify.Address{Name: "Ann Probe", Email: emailTo}

// wantEmail sends m and expects it to be the last that the provider accepted.
func wantEmail(t *testing.T, h EmailHarness, m notify.Email) {
	t.Helper()
	if _, err := h.Sender.SendEmail(t.Context(), m); err != nil {
		t.Fatalf("send: %v", err)
	}
	list := h.Received()
	if len(list) == 0 {
		t.Fatal("the provider accepted nothing")
	}
	got := list[len(list)-1]
	if got.To != m.To || got.Subject != m.Subject {
		t.Errorf("arrived as to %q, subject %q, want %q, %q", got.To.String(), got.Subject, m.To.String(), m.Subject)
	}
	if normal(got.Text) != normal(m.Text) {
		t.Errorf("text arrived as %.400q, want %.400q", got.Text, m.Text)
	}
	if normal(got.HTML) != normal(m.HTML) {
		t.Errorf("HTML arrived as %.400q, want %.400q", got.HTML, m.HTML)
	}
}

func refused(t *testing.T, h EmailHarness, m notify.Email) {
	t.Helper()
	before := len(h.Received())
	_, err := h.Sender.SendEmail(t.Context(), m)
	if !errors.Is(err, notify.ErrInvalid) || notify.Retryable(err) {
		t.Errorf("subject %.40q: error %v, want ErrInvalid", m.Subject, err)
	}
	discreet(t, err, append([]string{emailTo, "evil@example.com"}, h.Secrets...))
	if after := len(h.Received()); after != before {
		t.Errorf("subject %.40q: the provider accepted it", m.Subject)
	}
}

// runeCut is the largest n ≤ max at which s can be cut.
func runeCut(s string, max int) int {
	cut := 0
	for i, r := range s {
		if i > max {
			break
		}
		cut = i
		if end := i + len(string(r)); end <= max && end == len(s) {
			cut = end
		}
	}
	return cut
}
