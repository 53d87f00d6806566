package devinbox

import (
	"html"
	"html/template"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/notify"
)

var pages = template.Must(template.ParseFS(assets, "assets/*.html"))

// view is the dot of the templates.
type view struct {
	Search   string
	Channel  string
	Tabs     []tab
	Items    []item
	Total    int
	Open     *detail
	Missing  bool         // the message asked for is not there
	ListURL  template.URL // the list with the same selection, for the refresh
	CloseURL template.URL
}

type tab struct {
	Label  string
	Count  int
	URL    template.URL
	Active bool
}

type item struct {
	Message
	Snippet string
	URL     template.URL
	Active  bool
}

type detail struct {
	Message
	Who          string
	IsSMS        bool
	ShowText     bool // the text of a mail that also has HTML
	HTMLURL      template.URL
	TextURL      template.URL
	FrameURL     template.URL
	Segments     string
	Links        []string
	RemoteImages bool
}

// link builds a relative URL. Everything in it is query-escaped, which is why it
// may be a template.URL.
func link(path string, pairs ...string) template.URL {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 && path == "" {
		return "./"
	}
	return template.URL(path + "?" + q.Encode())
}

func newView(all []Message, query url.Values) *view {
	f := filterOf(query)
	open := query.Get("m")
	v := &view{Search: strings.TrimSpace(query.Get("q")), Channel: f.channel, Total: len(all), Missing: open != ""}
	v.ListURL = link("list", "m", open, "q", v.Search, "channel", f.channel)
	v.CloseURL = link("", "q", v.Search, "channel", f.channel)
	counts := map[string]int{}
	for _, m := range all {
		if m.ID == open {
			v.Open, v.Missing = newDetail(m, query), false
		}
		unfiltered := f
		unfiltered.channel = ""
		if unfiltered.match(m) {
			counts[""]++
			counts[string(m.Channel)]++
		}
		if f.match(m) {
			v.Items = append(v.Items, item{
				Message: m, Snippet: snippet(m), Active: m.ID == open,
				URL: link("", "m", m.ID, "q", v.Search, "channel", f.channel),
			})
		}
	}
	for _, t := range []struct{ label, channel string }{{"All", ""}, {"Email", string(notify.ChannelEmail)}, {"SMS", string(notify.ChannelSMS)}} {
		v.Tabs = append(v.Tabs, tab{
			Label: t.label, Count: counts[t.channel], Active: f.channel == t.channel,
			URL: link("", "m", open, "q", v.Search, "channel", t.channel),
		})
	}
	return v
}

func newDetail(m Message, query url.Values) *detail {
	keep := []string{"m", m.ID, "q", strings.TrimSpace(query.Get("q")), "channel", query.Get("channel")}
	d := &detail{
		Message: m, Who: m.Name, IsSMS: m.Channel == notify.ChannelSMS,
		ShowText: m.HTML == "" || query.Get("view") == "text" && m.Text != "",
		HTMLURL:  link("", keep...), TextURL: link("", append(keep, "view", "text")...),
		FrameURL: link("message.html", "m", m.ID), Links: links(m),
		RemoteImages: remoteImage.MatchString(m.HTML),
	}
	if d.Who == "" {
		d.Who = m.To
	}
	if d.IsSMS {
		d.Segments = segments(m.Text)
	}
	return d
}

var (
	href        = regexp.MustCompile(`(?i)<a\b[^>]*\shref\s*=\s*["']?(https?://[^\s<>"']+)`)
	webLink     = regexp.MustCompile(`https?://[^\s<>"'` + "`" + `]+`)
	remoteImage = regexp.MustCompile(`(?i)<img[^>]+src\s*=\s*["']?https?:`)
	markup      = regexp.MustCompile(`(?s)<(style|script|title)\b.*?</(style|script|title)>|<[^>]*>`)
)

const maxLinks = 10

// links are the distinct web addresses that a reader can click, to have "verify"
// one click away.
func links(m Message) []string {
	var all, found []string
	for _, l := range webLink.FindAllString(m.Text, 100) {
		all = append(all, strings.TrimRight(l, ".,;:!?)]"))
	}
	for _, l := range href.FindAllStringSubmatch(m.HTML, 100) {
		all = append(all, html.UnescapeString(l[1]))
	}
	for _, l := range all {
		if u, err := url.Parse(l); err == nil && u.Host != "" && !slices.Contains(found, l) && len(found) < maxLinks {
			found = append(found, l)
		}
	}
	return found
}

// snippet is the beginning of the text, on one line.
func snippet(m Message) string {
	const max = 140
	text := m.Text
	if text == "" {
		text = html.UnescapeString(markup.ReplaceAllString(m.HTML, " "))
	}
	text = strings.Join(strings.Fields(text[:min(len(text), 4*max)]), " ")
	for n := range text {
		if n >= max {
			return text[:n] + "…"
		}
	}
	if !utf8.ValidString(text) { // cut within a character
		text = strings.ToValidUTF8(text, "")
	}
	return text
}
