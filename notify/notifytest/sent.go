package notifytest

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ashlar-go/ashlar/notify"
)

// Sent is a message that the recorder accepted.
type Sent struct {
	Channel notify.Channel
	ID      string // what the recorder answered
	Key     string
	Kind    string
	Tenant  string
	Name    string // of the recipient; e-mail only
	To      string // e-mail address or phone number
	Subject string // e-mail only
	Text    string
	HTML    string // e-mail only
}

var link = regexp.MustCompile(`https?://[^\s<>"')\]]+`)

// Link is the first link of the text, or else of the HTML; "" if there is none.
func (s Sent) Link() string {
	if l := link.FindString(s.Text); l != "" {
		return strings.TrimRight(l, ".,;:!?")
	}
	return html.UnescapeString(link.FindString(s.HTML))
}

// Code is the first run of exactly n digits in the text, such as a one-time code;
// "" if there is none.
func (s Sent) Code(n int) string {
	for _, run := range regexp.MustCompile(`\d+`).FindAllString(s.Text, -1) {
		if len(run) == n {
			return run
		}
	}
	return ""
}

// Match selects messages.
type Match func(Sent) bool

// To matches an e-mail address or phone number.
func To(address string) Match { return func(s Sent) bool { return s.To == address } }

// Kind matches the notification's kind.
func Kind(kind string) Match { return func(s Sent) bool { return s.Kind == kind } }

// On matches the channel.
func On(c notify.Channel) Match { return func(s Sent) bool { return s.Channel == c } }

// Contains matches messages with the text in subject, text or HTML.
func Contains(text string) Match {
	return func(s Sent) bool {
		return strings.Contains(s.Subject, text) || strings.Contains(s.Text, text) || strings.Contains(s.HTML, text)
	}
}

// All returns a copy of the accepted messages that match everything, oldest first.
func (r *Recorder) All(matches ...Match) []Sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Sent
	for _, s := range r.sent {
		if !slices.ContainsFunc(matches, func(m Match) bool { return !m(s) }) {
			found = append(found, s)
		}
	}
	return found
}

// One returns the only message that matches and fails the test if there is none or
// another. The recorder must come from [New].
func (r *Recorder) One(matches ...Match) Sent {
	t := r.test()
	t.Helper()
	found := r.All(matches...)
	if len(found) != 1 {
		t.Fatalf("notifytest: %d messages match, want 1; recorded:\n%s", len(found), r.list())
	}
	return found[0]
}

// None fails the test if a message matches. The recorder must come from [New].
func (r *Recorder) None(matches ...Match) {
	t := r.test()
	t.Helper()
	if found := r.All(matches...); len(found) != 0 {
		t.Fatalf("notifytest: %d messages match, want none; recorded:\n%s", len(found), r.list())
	}
}

func (r *Recorder) test() testing.TB {
	if r.t == nil {
		panic("notifytest: One and None need a recorder from New(t)")
	}
	return r.t
}

func (r *Recorder) list() string {
	var b strings.Builder
	for _, s := range r.All() {
		fmt.Fprintf(&b, "  %s %s to %s: %.60q %.60q\n", s.Channel, s.Kind, s.To, s.Subject, s.Text)
	}
	if b.Len() == 0 {
		return "  nothing\n"
	}
	return b.String()
}
