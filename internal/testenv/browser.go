package testenv

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Browser is a page of a headless Chromium, driven over its DevTools pipe: JSON
// messages that end in a zero byte, on the file descriptors 3 and 4. It belongs
// to one test; whatever goes wrong fails that.
type Browser struct {
	t       testing.TB
	in      *os.File
	session string

	mu      sync.Mutex
	next    int
	waiting map[int]chan json.RawMessage
	loads   *sync.Cond // with mu; told of each load
	loaded  map[string]bool
	console []string
}

// patience is for a machine with more work than processors; a healthy one never
// comes near it.
const patience = 2 * time.Minute

// StartBrowser starts a Chromium with one empty page, 1280 pixels wide. It ends
// with the test.
func StartBrowser(t testing.TB) *Browser {
	t.Helper()
	path := findBrowser(t)
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "testenv-browser-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--disable-breakpad", "--disable-crash-reporter", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+profile) // root in a container may have none that can be written
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &Browser{t: t, in: ourOut, waiting: map[int]chan json.RawMessage{}, loaded: map[string]bool{}}
	b.loads = sync.NewCond(&b.mu)
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
	b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Accessibility"} {
		b.Call(domain+".enable", nil, nil)
	}
	b.Call("Page.setLifecycleEventsEnabled", map[string]any{"enabled": true}, nil)
	b.Resize(1280)
	return b
}

func findBrowser(t testing.TB) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	t.Fatal("testenv: this test needs Chromium or Chrome on PATH; install it with: apt-get install -y chromium (macOS: brew install --cask chromium)")
	return ""
}

func (b *Browser) read(r *bufio.Reader) {
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
		line = line[:len(line)-1]
		if json.Unmarshal(line, &m) == nil {
			b.hear(m.ID, m.Method, m.Params, line)
		}
	}
}

// hear takes an answer or an event.
func (b *Browser) hear(id int, method string, params json.RawMessage, line []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case id != 0:
		if c := b.waiting[id]; c != nil {
			delete(b.waiting, id)
			c <- line
		}
	case method == "Log.entryAdded" || method == "Runtime.exceptionThrown":
		b.console = append(b.console, string(params))
	case method == "Page.lifecycleEvent":
		var event struct{ Name, LoaderID string }
		if json.Unmarshal(params, &event) == nil && event.Name == "load" {
			b.loaded[event.LoaderID] = true
			b.loads.Broadcast()
		}
	}
}

// Call sends a DevTools command and decodes its result; both may be nil.
func (b *Browser) Call(method string, params any, result any) {
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
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case raw, ok := <-answer:
		if !ok {
			b.t.Fatalf("the browser went away during %s", method)
		}
		var reply struct {
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		err := json.Unmarshal(raw, &reply)
		if err == nil && reply.Error == nil && result != nil {
			err = json.Unmarshal(reply.Result, result)
		}
		if err != nil || reply.Error != nil {
			b.t.Fatalf("%s: %v %v", method, err, reply.Error)
		}
	case <-time.After(patience):
		b.t.Fatalf("no answer to %s", method)
	}
}

// Resize makes the page so many pixels wide; below 700 it is a telephone.
func (b *Browser) Resize(width int) {
	b.t.Helper()
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700}, nil)
}

// Fits tells whether the page, at a width of so many pixels, does not scroll
// sideways. A telephone's innerWidth grows with what does not fit.
func (b *Browser) Fits(width int) bool {
	b.t.Helper()
	answer := b.Eval(fmt.Sprintf(`String(document.documentElement.scrollWidth <= %d)`, width))
	if answer != "true" && answer != "false" {
		b.t.Fatalf("the page cannot be measured: %q", answer)
	}
	return answer == "true"
}

// Scheme is "light" or "dark": what the reader prefers.
func (b *Browser) Scheme(name string) {
	b.t.Helper()
	b.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": name}}}, nil)
}

// Scripts says whether the pages that are loaded from now on may run JavaScript.
// Eval works either way, as long as it waits for nothing.
func (b *Browser) Scripts(on bool) {
	b.t.Helper()
	b.Call("Emulation.setScriptExecutionDisabled", map[string]any{"value": !on}, nil)
}

// Open loads a page and waits for its load event.
func (b *Browser) Open(url string) {
	b.t.Helper()
	var navigation struct{ LoaderID, ErrorText string }
	b.Call("Page.navigate", map[string]any{"url": url}, &navigation)
	if navigation.ErrorText != "" {
		b.t.Fatalf("%s: %s", url, navigation.ErrorText)
	}
	b.await("the page does not load", func() bool { return b.loaded[navigation.LoaderID] })
}

// Follow clicks on what a selector finds first, and waits for the page that it
// leads to.
func (b *Browser) Follow(selector string) {
	b.t.Helper()
	b.mu.Lock()
	before := len(b.loaded)
	b.mu.Unlock()
	b.Click(selector)
	b.await(selector+" leads to no page", func() bool { return len(b.loaded) > before })
}

// await waits for a condition about loads, which is asked with the lock held.
func (b *Browser) await(what string, ok func() bool) {
	b.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		late = true
		b.loads.Broadcast()
	})
	defer timer.Stop()
	b.mu.Lock()
	for !ok() && !late {
		b.loads.Wait()
	}
	failed := !ok()
	b.mu.Unlock()
	if failed {
		b.t.Fatal(what)
	}
}

// Click presses the mouse in the middle of what a selector finds first.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	at := b.Eval(`(() => {
		const e = document.querySelector(` + quote(selector) + `);
		if (!e) return "nothing";
		e.scrollIntoView({block: "center", behavior: "instant"});
		const r = e.getBoundingClientRect(), x = r.left + r.width / 2, y = r.top + r.height / 2, hit = document.elementFromPoint(x, y);
		return hit && (e.contains(hit) || hit.contains(e)) ? x + " " + y : "covered by " + (hit && hit.outerHTML.slice(0, 80));
	})()`)
	var x, y float64
	if _, err := fmt.Sscan(at, &x, &y); err != nil {
		b.t.Fatalf("click on %s: %s", selector, at)
	}
	for _, event := range []string{"mousePressed", "mouseReleased"} {
		b.Call("Input.dispatchMouseEvent", map[string]any{"type": event, "x": x, "y": y, "button": "left", "clickCount": 1}, nil)
	}
}

// Type enters text where the focus is.
func (b *Browser) Type(text string) {
	b.t.Helper()
	b.Call("Input.insertText", map[string]any{"text": text}, nil)
}

// Press presses a key, such as "Tab" or "ArrowDown", whose number is that of
// KeyboardEvent.keyCode.
func (b *Browser) Press(key string, number int) {
	b.t.Helper()
	for _, event := range []string{"keyDown", "keyUp"} {
		b.Call("Input.dispatchKeyEvent", map[string]any{"type": event, "key": key, "code": key, "windowsVirtualKeyCode": number}, nil)
	}
}

// Eval runs JavaScript, waits for its promise and returns its value as a string.
func (b *Browser) Eval(script string) string {
	b.t.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	b.Call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &out)
	if e := out.ExceptionDetails; e != nil {
		b.t.Fatalf("%s: %s %s", script, e.Text, e.Exception.Description)
	}
	return fmt.Sprint(out.Result.Value)
}

// Wait returns when a condition in JavaScript holds after a change of the page.
func (b *Browser) Wait(condition string) {
	b.t.Helper()
	got := b.Eval(`new Promise((done) => {
		const check = () => { if (` + condition + `) { watch.disconnect(); done("yes"); } };
		const watch = new MutationObserver(check);
		watch.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
		setTimeout(() => done("never: " + ` + quote(condition) + `), 60000);
		check();
	})`)
	if got != "yes" {
		b.t.Fatal(got)
	}
}

// Logged are the errors and the violations of policies so far, as JSON.
func (b *Browser) Logged() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.console...)
}

// Screenshot writes the whole page to name.png among the test's artifacts,
// which go test -artifacts keeps.
func (b *Browser) Screenshot(name string) {
	b.t.Helper()
	var shot struct{ Data string }
	b.Call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o600)
	}
	if err != nil {
		b.t.Fatalf("screenshot %s: %v", name, err)
	}
}

func quote(s string) string {
	text, _ := json.Marshal(s) // strings always can be
	return string(text)
}

// Roles counts the nodes of the tree that screen readers get by their roles,
// and lists those of the roles in named that have no name.
func (b *Browser) Roles(named ...string) (count map[string]int, nameless []string) {
	b.t.Helper()
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value any }
		}
	}
	b.Call("Accessibility.getFullAXTree", nil, &tree)
	count = map[string]int{}
	for _, n := range tree.Nodes {
		if n.Ignored {
			continue
		}
		role, name := fmt.Sprint(n.Role.Value), fmt.Sprint(n.Name.Value)
		count[role]++
		if name = strings.TrimSpace(name); (name == "" || name == "<nil>") && strings.Contains(" "+strings.Join(named, " ")+" ", " "+role+" ") {
			nameless = append(nameless, role)
		}
	}
	return count, nameless
}

// Contrast is "ok" if all visible text has the contrast of WCAG 2.2 (1.4.3: 4.5
// to 1), else it names what has not. Text with the class unseen or skip is
// passed over.
func (b *Browser) Contrast() string {
	b.t.Helper()
	return b.Eval(`(() => {
	const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
	const lum = (c) => c.slice(0, 3).map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; })
		.reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
	const back = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
	for (const e of document.querySelectorAll("body *")) {
		const text = Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
		const s = getComputedStyle(e);
		if (!text || e.closest(".unseen, .skip, title") || !e.getClientRects().length || s.visibility === "hidden") continue;
		const rect = e.closest(".box") && e.closest(".box").querySelector("rect"), fill = rect ? getComputedStyle(rect).fill : "none";
		const bg = fill.startsWith("rgb") ? parse(fill) : back(e);
		const a = Number(s.opacity), ink = e.closest("svg") ? s.fill : s.color;
		const fg = parse(ink).map((v, i) => i < 3 ? v * a + bg[i] * (1 - a) : 1);
		const [x, y] = [lum(fg), lum(bg)].sort((p, q) => q - p);
		if ((x + .05) / (y + .05) < 4.5) return (e.getAttribute("class") || e.tagName) + " " + e.textContent.trim().slice(0, 40) + " " + ((x + .05) / (y + .05)).toFixed(2);
	}
	return "ok";
})()`)
}
