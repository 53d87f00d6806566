package devinbox_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/devinbox"
)

func TestInBrowser(t *testing.T) {
	t.Parallel()
	in := open(t, nil)
	mux := http.NewServeMux()
	mux.Handle("/dev/inbox/", http.StripPrefix("/dev/inbox", in))
	leaks := make(chan string, 10)
	mux.HandleFunc("/leak", func(_ http.ResponseWriter, r *http.Request) { leaks <- r.URL.String() })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	b := testenv.StartBrowser(t)

	b.Open(srv.URL + "/dev/inbox/")
	require.Contains(t, b.Eval(`document.body.innerText`), "Waiting for the first message")

	// The list refreshes itself, escapes what it shows and announces the news.
	_, err := in.SendEmail(t.Context(), notify.Email{
		Key: "k1", Kind: "incident.opened", Tenant: "acme",
		To: notify.Address{Name: "<img src=x onerror=alert(1)>", Email: "ann@example.com"}, Subject: "<b>down</b>",
		Text: "https://acme.dev/incidents/1", HTML: `<!doctype html><html><body><h1>Down</h1><a href="https://acme.dev/incidents/1">open</a>
			<script>new Image().src = "` + srv.URL + `/leak?script"; top.location = "` + srv.URL + `/leak?top"</script>
			<img src="` + srv.URL + `/leak?img"><form action="` + srv.URL + `/leak?form"><input autofocus></form>
			<meta http-equiv="refresh" content="0; url=` + srv.URL + `/leak?refresh"><link rel="stylesheet" href="` + srv.URL + `/leak?style"></body></html>`,
	})
	require.NoError(t, err)
	b.Wait(`document.querySelectorAll(".item").length === 1`)
	require.Equal(t, "1 new message", b.Eval(`document.getElementById("status").textContent`))
	require.Equal(t, "<b>down</b>", b.Eval(`document.querySelector(".subject").textContent`))
	require.Equal(t, "<img src=x onerror=alert(1)>", b.Eval(`document.querySelector(".who").textContent`))
	require.Equal(t, "false", b.Eval(`document.querySelector(".dot").hidden`), "a new message is unread")

	_, err = in.SendSMS(t.Context(), notify.SMS{Key: "k2", To: "+14155550100", Text: "123456 is your code"})
	require.NoError(t, err)
	b.Wait(`document.querySelectorAll(".item").length === 2`)

	t.Run("keyboard", func(t *testing.T) {
		b.Eval(`document.querySelector(".item").focus()`)
		b.Press("ArrowDown", 40)
		require.Equal(t, "ann@example.com", focused(b, in), "the arrow moves the focus to the older message")
	})

	// The mail is shown, but nothing in it acts.
	b.Open(srv.URL + "/dev/inbox/" + b.Eval(`document.querySelectorAll(".item")[1].getAttribute("href")`))
	require.Equal(t, "allow-popups allow-popups-to-escape-sandbox", b.Eval(`document.querySelector("iframe").getAttribute("sandbox")`))
	require.Equal(t, "true", b.Eval(`document.querySelector(".item[aria-current] .dot").hidden`), "an opened message is read")
	require.Equal(t, "https://acme.dev/incidents/1", b.Eval(`Array.from(document.querySelectorAll("footer a"), (a) => a.href).join()`))
	require.Contains(t, b.Eval(`document.body.innerText`), "Remote images are not loaded")
	require.Contains(t, b.Eval(`location.pathname`), "/dev/inbox/")
	select {
	case what := <-leaks:
		t.Errorf("the mail reached the network: %s", what)
	default:
	}
	b.Eval(`fetch("` + srv.URL + `/leak?planted").then(() => "")`)
	require.Equal(t, "/leak?planted", <-leaks, "a leak would have been seen")

	t.Run("accessible", func(t *testing.T) { checkAccessible(t, b) })
	t.Run("no script of others", func(t *testing.T) {
		require.Empty(t, logged(b), "the page itself keeps its own policy")
		b.Eval(`document.body.append(Object.assign(document.createElement("script"), {textContent: "window.pwned = 1"}))`)
		require.Equal(t, "undefined", b.Eval(`typeof window.pwned`))
		require.Contains(t, strings.Join(logged(b), ""), "Content Security Policy", "the planted violation is seen")
	})
	t.Run("nothing overflows", func(t *testing.T) {
		for _, width := range []int{320, 390, 768, 1280} {
			b.Resize(width)
			// A telephone's innerWidth grows with what does not fit.
			require.Equal(t, "true", b.Eval(fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, width)), "at %d pixels", width)
		}
	})

	// The refresh notices that the messages are gone.
	in.Clear()
	b.Wait(`document.querySelectorAll(".item").length === 0`)

	t.Run("contrast by day and night", func(t *testing.T) { checkContrast(t, b) })
}

// logged are the errors and violations of the page so far, without those of the
// sandboxed mail, which are what the sandbox is for.
func logged(b *testenv.Browser) []string {
	return slices.DeleteFunc(b.Logged(), func(line string) bool { return strings.Contains(line, "message.html") })
}

// focused is the recipient of the item that has the focus.
func focused(b *testenv.Browser, in *devinbox.Inbox) string {
	id := strings.TrimPrefix(b.Eval(`document.activeElement.id`), "i-")
	for _, m := range in.Messages() {
		if m.ID == id {
			return m.To
		}
	}
	return "no message: " + id
}

// checkAccessible looks at the tree that screen readers get.
func checkAccessible(t *testing.T, b *testenv.Browser) {
	roles, nameless := b.Roles("link", "button", "searchbox", "radio", "Iframe", "heading")
	require.Empty(t, nameless, "all of these have a name")
	for _, role := range []string{"main", "banner", "search", "list", "status", "navigation", "article", "Iframe"} {
		require.NotZero(t, roles[role], "no %s in %v", role, roles)
	}
	require.Equal(t, "ok", b.Contrast())
}

// checkContrast measures a text message, with all that can be beside it.
func checkContrast(t *testing.T, b *testenv.Browser) {
	in := open(t, nil)
	srv := httptest.NewServer(in)
	defer srv.Close()
	id, err := in.SendSMS(t.Context(), notify.SMS{Key: "k", Kind: "auth.code", Tenant: "acme", To: "+14155550100", Text: "https://acme.dev/x"})
	require.NoError(t, err)
	seen := len(logged(b))
	for _, scheme := range []string{"light", "dark"} {
		b.Scheme(scheme)
		b.Open(srv.URL + "/?m=" + id)
		require.Equal(t, "ok", b.Contrast(), scheme)
	}
	require.Empty(t, logged(b)[seen:], "no policy violation, no script error")
	b.Eval(`document.querySelector(".cost").style.color = "#777"`)
	require.Contains(t, b.Contrast(), "cost", "a planted fault is seen")
}
