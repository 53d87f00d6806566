package devinbox_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/devinbox"
)

// browser is a headless Chromium driven over its DevTools pipe: JSON messages that
// end in a zero byte, on the file descriptors 3 and 4.
type browser struct {
	t       *testing.T
	in      *os.File
	session string

	mu      sync.Mutex
	next    int
	waiting map[int]chan json.RawMessage
	loaded  map[string]chan struct{} // by the id of the navigation
	console []string
}

// patience is for a machine with more work than processors; a healthy one never
// comes near it.
const patience = 2 * time.Minute

func startBrowser(t *testing.T) *browser {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatal("this test needs Chromium or Chrome on PATH; install it with: apt-get install -y chromium (macOS: brew install --cask chromium)")
	}
	theirIn, ourOut, err := os.Pipe()
	require.NoError(t, err)
	ourIn, theirOut, err := os.Pipe()
	require.NoError(t, err)
	profile, err := os.MkdirTemp("", "devinbox-browser-")
	require.NoError(t, err)
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--disable-breakpad", "--disable-crash-reporter", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+profile) // root in a container may have none that can be written
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	require.NoError(t, cmd.Start())
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, in: ourOut, waiting: map[int]chan json.RawMessage{}, loaded: map[string]chan struct{}{}}
	var reader sync.WaitGroup
	reader.Go(func() { b.read(bufio.NewReaderSize(ourIn, 1<<20)) })
	t.Cleanup(func() {
		// Its children hold our pipe open and write to the profile as long as they
		// live, so the end of the pipe is the end of all. It may be too busy to answer.
		io.WriteString(ourOut, `{"id":0,"method":"Browser.close"}`+"\x00")
		kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		cmd.Wait()
		kill.Stop()
		ourOut.Close()
		ourIn.SetReadDeadline(time.Now().Add(patience))
		reader.Wait()
		ourIn.Close()
		os.RemoveAll(profile)
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Accessibility"} {
		b.call(domain+".enable", nil, nil)
	}
	b.call("Page.setLifecycleEventsEnabled", map[string]any{"enabled": true}, nil)
	b.resize(1280)
	return b
}

func (b *browser) resize(width int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700}, nil)
}

func (b *browser) read(r *bufio.Reader) {
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			for id, c := range b.waiting {
				close(c)
				delete(b.waiting, id)
			}
			b.mu.Unlock()
			return
		}
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
		}
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0:
			if c := b.waiting[m.ID]; c != nil {
				delete(b.waiting, m.ID)
				c <- line[:len(line)-1]
			}
		case m.Method == "Log.entryAdded" || m.Method == "Runtime.exceptionThrown":
			b.console = append(b.console, string(m.Params))
		case m.Method == "Page.lifecycleEvent":
			var event struct{ Name, LoaderID string }
			if json.Unmarshal(m.Params, &event) == nil && event.Name == "load" {
				select {
				case b.load(event.LoaderID) <- struct{}{}:
				default: // told already
				}
			}
		}
		b.mu.Unlock()
	}
}

// load is told once that a navigation has ended, which may be before we know its id.
// The caller holds the lock.
func (b *browser) load(id string) chan struct{} {
	if b.loaded[id] == nil {
		b.loaded[id] = make(chan struct{}, 1)
	}
	return b.loaded[id]
}

// call sends a command and decodes its result.
func (b *browser) call(method string, params any, result any) {
	b.t.Helper()
	answer := make(chan json.RawMessage, 1)
	b.mu.Lock()
	b.next++
	id := b.next
	b.waiting[id] = answer
	b.mu.Unlock()
	msg := map[string]any{"id": id, "method": method}
	if params != nil {
		msg["params"] = params
	}
	if b.session != "" {
		msg["sessionId"] = b.session
	}
	text, err := json.Marshal(msg)
	require.NoError(b.t, err)
	_, err = b.in.Write(append(text, 0))
	require.NoError(b.t, err)
	select {
	case raw, ok := <-answer:
		require.True(b.t, ok, "the browser went away during %s", method)
		var reply struct {
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		require.NoError(b.t, json.Unmarshal(raw, &reply))
		require.Nil(b.t, reply.Error, "%s: %v", method, reply.Error)
		if result != nil {
			require.NoError(b.t, json.Unmarshal(reply.Result, result))
		}
	case <-time.After(patience):
		b.t.Fatalf("no answer to %s", method)
	}
}

// open loads a page and waits for its load event.
func (b *browser) open(url string) {
	b.t.Helper()
	var navigation struct{ LoaderID, ErrorText string }
	b.call("Page.navigate", map[string]any{"url": url}, &navigation)
	require.Empty(b.t, navigation.ErrorText)
	b.mu.Lock()
	loaded := b.load(navigation.LoaderID)
	b.mu.Unlock()
	select {
	case <-loaded:
	case <-time.After(patience):
		b.t.Fatal("the page does not load")
	}
}

// eval runs JavaScript, waits for its promise and returns its value as a string.
func (b *browser) eval(script string) string {
	b.t.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &out)
	require.Nil(b.t, out.ExceptionDetails, "%s: %v", script, out.ExceptionDetails)
	return fmt.Sprint(out.Result.Value)
}

// wait resolves when the condition holds after a change of the page.
func (b *browser) wait(condition string) {
	b.t.Helper()
	got := b.eval(`new Promise((done) => {
		const check = () => { if (` + condition + `) { watch.disconnect(); done("yes"); } };
		const watch = new MutationObserver(check);
		watch.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
		setTimeout(() => done("never: ` + strings.ReplaceAll(condition, `"`, `'`) + `"), 60000);
		check();
	})`)
	require.Equal(b.t, "yes", got)
}

func TestInBrowser(t *testing.T) {
	t.Parallel()
	in := open(t, nil)
	mux := http.NewServeMux()
	mux.Handle("/dev/inbox/", http.StripPrefix("/dev/inbox", in))
	leaks := make(chan string, 10)
	mux.HandleFunc("/leak", func(_ http.ResponseWriter, r *http.Request) { leaks <- r.URL.String() })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	b := startBrowser(t)

	b.open(srv.URL + "/dev/inbox/")
	require.Contains(t, b.eval(`document.body.innerText`), "Waiting for the first message")

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
	b.wait(`document.querySelectorAll(".item").length === 1`)
	require.Equal(t, "1 new message", b.eval(`document.getElementById("status").textContent`))
	require.Equal(t, "<b>down</b>", b.eval(`document.querySelector(".subject").textContent`))
	require.Equal(t, "<img src=x onerror=alert(1)>", b.eval(`document.querySelector(".who").textContent`))
	require.Equal(t, "false", b.eval(`document.querySelector(".dot").hidden`), "a new message is unread")

	_, err = in.SendSMS(t.Context(), notify.SMS{Key: "k2", To: "+14155550100", Text: "123456 is your code"})
	require.NoError(t, err)
	b.wait(`document.querySelectorAll(".item").length === 2`)

	t.Run("keyboard", func(t *testing.T) {
		b.eval(`document.querySelector(".item").focus()`)
		b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": "ArrowDown", "code": "ArrowDown", "windowsVirtualKeyCode": 40}, nil)
		require.Equal(t, "ann@example.com", b.address(in), "the arrow moves the focus to the older message")
	})

	// The mail is shown, but nothing in it acts.
	b.open(srv.URL + "/dev/inbox/" + b.eval(`document.querySelectorAll(".item")[1].getAttribute("href")`))
	require.Equal(t, "allow-popups allow-popups-to-escape-sandbox", b.eval(`document.querySelector("iframe").getAttribute("sandbox")`))
	require.Equal(t, "true", b.eval(`document.querySelector(".item[aria-current] .dot").hidden`), "an opened message is read")
	require.Equal(t, "https://acme.dev/incidents/1", b.eval(`Array.from(document.querySelectorAll("footer a"), (a) => a.href).join()`))
	require.Contains(t, b.eval(`document.body.innerText`), "Remote images are not loaded")
	require.Contains(t, b.eval(`location.pathname`), "/dev/inbox/")
	select {
	case what := <-leaks:
		t.Errorf("the mail reached the network: %s", what)
	default:
	}
	b.eval(`fetch("` + srv.URL + `/leak?planted").then(() => "")`)
	require.Equal(t, "/leak?planted", <-leaks, "a leak would have been seen")

	t.Run("accessible", func(t *testing.T) { b.checkAccessible(t) })
	t.Run("no script of others", func(t *testing.T) {
		require.Empty(t, b.logged(), "the page itself keeps its own policy")
		b.eval(`document.body.append(Object.assign(document.createElement("script"), {textContent: "window.pwned = 1"}))`)
		require.Equal(t, "undefined", b.eval(`typeof window.pwned`))
		require.Contains(t, strings.Join(b.logged(), ""), "Content Security Policy", "the planted violation is seen")
	})
	t.Run("nothing overflows", func(t *testing.T) {
		for _, width := range []int{320, 390, 768, 1280} {
			b.resize(width)
			require.Equal(t, "true", b.eval(`document.documentElement.scrollWidth <= innerWidth`), "at %d pixels", width)
		}
	})

	// The refresh notices that the messages are gone.
	in.Clear()
	b.wait(`document.querySelectorAll(".item").length === 0`)

	t.Run("contrast by day and night", func(t *testing.T) { b.checkContrast(t) })
}

// logged are the errors and violations of the page so far, without those of the
// sandboxed mail, which are what the sandbox is for.
func (b *browser) logged() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.console {
		if !strings.Contains(line, "message.html") {
			list = append(list, line)
		}
	}
	return list
}

// address is the recipient of the item that has the focus.
func (b *browser) address(in *devinbox.Inbox) string {
	id := strings.TrimPrefix(b.eval(`document.activeElement.id`), "i-")
	for _, m := range in.Messages() {
		if m.ID == id {
			return m.To
		}
	}
	return "no message: " + id
}

// checkAccessible looks at the tree that screen readers get.
func (b *browser) checkAccessible(t *testing.T) {
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value any }
		}
	}
	b.call("Accessibility.getFullAXTree", nil, &tree)
	roles := map[string]int{}
	for _, n := range tree.Nodes {
		if n.Ignored {
			continue
		}
		role, name := fmt.Sprint(n.Role.Value), fmt.Sprint(n.Name.Value)
		roles[role]++
		switch role {
		case "link", "button", "searchbox", "radio", "Iframe", "heading":
			require.NotEmpty(t, strings.TrimSpace(name), "a %s without a name", role)
			require.NotEqual(t, "<nil>", name, "a %s without a name", role)
		}
	}
	for _, role := range []string{"main", "banner", "search", "list", "status", "navigation", "article", "Iframe"} {
		require.NotZero(t, roles[role], "no %s in %v", role, roles)
	}
	require.Equal(t, "ok", b.eval(contrastScript))
}

// contrastScript measures WCAG 2.2 contrast (1.4.3: 4.5 to 1) of all visible text.
const contrastScript = `(() => {
	const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
	const lum = (c) => c.slice(0, 3).map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; })
		.reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
	const back = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
	for (const e of document.querySelectorAll("body *")) {
		const text = Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
		const s = getComputedStyle(e);
		if (!text || e.closest(".unseen, .skip") || !e.getClientRects().length || s.visibility === "hidden") continue;
		const bg = back(e), a = Number(s.opacity), fg = parse(s.color).map((v, i) => i < 3 ? v * a + bg[i] * (1 - a) : 1);
		const [x, y] = [lum(fg), lum(bg)].sort((p, q) => q - p);
		if ((x + .05) / (y + .05) < 4.5) return e.className + " " + e.textContent.trim().slice(0, 40) + " " + ((x + .05) / (y + .05)).toFixed(2);
	}
	return "ok";
})()`

// checkContrast measures a text message, with all that can be beside it.
func (b *browser) checkContrast(t *testing.T) {
	in := open(t, nil)
	srv := httptest.NewServer(in)
	defer srv.Close()
	id, err := in.SendSMS(t.Context(), notify.SMS{Key: "k", Kind: "auth.code", Tenant: "acme", To: "+14155550100", Text: "https://acme.dev/x"})
	require.NoError(t, err)
	seen := len(b.logged())
	for _, scheme := range []string{"light", "dark"} {
		b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		b.open(srv.URL + "/?m=" + id)
		require.Equal(t, "ok", b.eval(contrastScript), scheme)
	}
	require.Empty(t, b.logged()[seen:], "no policy violation, no script error")
	b.eval(`document.querySelector(".cost").style.color = "#777"`)
	require.Contains(t, b.eval(contrastScript), "cost", "a planted fault is seen")
}
