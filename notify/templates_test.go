package notify_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/notifytest"
)

// files makes a file system of name, content pairs.
func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

// note is a typed notification with any data.
type note struct {
	Name string
	Data map[string]any
	Loop []int
	kind string
	to   []notify.Recipient
}

func (n note) Kind() string                   { return n.kind }
func (n note) Recipients() []notify.Recipient { return n.to }

var (
	ann = notify.Recipient{ID: "ann", Name: "Ann <b>", Email: "ann@example.com", Phone: "+14155550100"}
	bob = notify.Recipient{ID: "bob", Name: "Bob", Email: "bob@example.com"}
)

func TestTemplatesEscapeByFormat(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	n, err := notify.New(&notify.Options{Email: rec, SMS: rec, Templates: files(
		"x/subject.txt", "{{.Name}}\n", "x/email.txt", "{{.Name}}", "x/email.html", `<a href="{{.Name}}">{{.Name}}</a>`, "x/sms.txt", "\n{{.Name}}\n",
		"layout/email.html", "<h1>{{.Subject}}</h1>{{.Body}}<p>{{.To.Name}} {{.Kind}} {{.Tenant}}", "layout/email.txt", "{{.Subject}}|{{.Body}}|{{.To.Name}}",
	)})
	require.NoError(t, err)
	require.NoError(t, n.Send(t.Context(), note{kind: "x", Name: `javascript:alert("1")<&>`, to: []notify.Recipient{ann}}))
	mail := rec.One(notifytest.On(notify.ChannelEmail))
	require.Equal(t, `javascript:alert("1")<&>`, mail.Subject)
	require.Equal(t, `javascript:alert("1")<&>|javascript:alert("1")<&>|Ann <b>`+"\n", mail.Text)
	require.Equal(t, `<h1>javascript:alert(&#34;1&#34;)&lt;&amp;&gt;</h1><a href="#ZgotmplZ">javascript:alert(&#34;1&#34;)&lt;&amp;&gt;</a><p>Ann &lt;b&gt; x `, mail.HTML)
	require.Equal(t, `javascript:alert("1")<&>`, rec.One(notifytest.On(notify.ChannelSMS)).Text)
}

// A subject made of data must not carry a header with it.
func TestSubjectInjection(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	n, err := notify.New(&notify.Options{Email: rec, Templates: files("x/subject.txt", "Hi {{.Name}}!\n", "x/email.txt", "y")})
	require.NoError(t, err)
	for _, evil := range []string{"a\r\nBcc: evil@example.com", "a\nb", "a\rb", "a\u2028b", "a\x00b", "a\x85b"} {
		err := n.Send(t.Context(), note{kind: "x", Name: evil, to: []notify.Recipient{ann}})
		require.ErrorIs(t, err, notify.ErrInvalid, "%q", evil)
		require.NotContains(t, err.Error(), "evil")
		require.False(t, notify.Retryable(err))
	}
	rec.None()
}

func TestTemplatesAreStrict(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	n, err := notify.New(&notify.Options{Email: rec, Templates: files(
		"map/subject.txt", "s", "map/email.txt", "{{.Data.missing}}",
		"field/subject.txt", "s", "field/email.txt", "{{.Nonsense}}",
		"html/subject.txt", "s", "html/email.txt", "t", "html/email.html", "{{.Data.missing}}",
		"endless/subject.txt", "s", "endless/email.txt", "{{range .Loop}}{{range $.Loop}}0123456789{{end}}{{end}}",
	)})
	require.NoError(t, err)
	loop := make([]int, 1000) // 10 MB of output
	for _, kind := range []string{"map", "field", "html", "endless", "unknown", "layout"} {
		err := n.Send(t.Context(), note{kind: kind, Data: map[string]any{"x": 1}, Loop: loop, to: []notify.Recipient{ann}})
		require.ErrorIs(t, err, notify.ErrTemplate, kind)
		require.False(t, notify.Retryable(err), kind)
		require.Less(t, len(err.Error()), 500)
	}
	rec.None()
}

func TestNewRefusesBadTemplates(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	for want, fsys := range map[string]fstest.MapFS{
		"unknown file":     files("x/subjct.txt", "s"),
		"subject.txt come": files("x/email.txt", "s"),
		"come together":    files("x/subject.txt", "s"),
		"needs an email":   files("x/subject.txt", "s", "x/email.html", "s"),
		"lower-case":       files("Bad Kind/sms.txt", "s"),
		"unclosed action":  files("x/sms.txt", "{{.Name"),
		"x/email.html":     files("x/subject.txt", "s", "x/email.txt", "t", "x/email.html", "{{template \"y\""),
		"longer than":      files("x/sms.txt", strings.Repeat("x", 1<<20+1)),
		"layout/sms.txt":   files("layout/sms.txt", "s"),
		"x/deep":           files("x/deep/email.txt", "s"),
	} {
		_, err := notify.New(&notify.Options{Email: rec, SMS: rec, Templates: fsys})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "Options.Templates")
	}
}

func TestSamplesAreRenderedAtStart(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	build := func(text string, sample notify.Notification) error {
		_, err := notify.New(&notify.Options{SMS: rec, Templates: files("x/sms.txt", text), Samples: []notify.Notification{sample}})
		return err
	}
	require.NoError(t, build("{{.Name}}", note{kind: "x", Name: "a"}))
	require.ErrorIs(t, build("{{.Nmae}}", note{kind: "x"}), notify.ErrTemplate)
	require.ErrorIs(t, build("{{.Name}}", note{kind: "y"}), notify.ErrTemplate)
	require.ErrorIs(t, build("{{.Name}}", note{kind: "x"}), notify.ErrInvalid, "an empty message")
	require.ErrorIs(t, build("x", note{kind: "No Kind"}), notify.ErrInvalid)
	require.ErrorIs(t, build("x", nil), notify.ErrInvalid)
	rec.None()
}
