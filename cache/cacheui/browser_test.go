package cacheui_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
)

// TestPageLooksRight checks what can be measured of how the page looks, and leaves pictures for
// eyes: go test -run TestPageLooksRight -artifacts.
func TestPageLooksRight(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := testenv.StartBrowser(t)
	look := func(name string) {
		t.Helper()
		for _, width := range []int{1280, 390} {
			for _, scheme := range []string{"light", "dark"} {
				b.Resize(width)
				b.Scheme(scheme)
				b.Open(s.url)
				require.True(t, b.Fits(width), "%s at %d pixels", name, width)
				require.Equal(t, "ok", b.Contrast(), "%s, %s", name, scheme)
				b.Eval(`document.querySelector("details").open = true; ""`)
				require.True(t, b.Fits(width), "%s at %d pixels, with the words", name, width)
				require.Equal(t, "ok", b.Contrast(), "%s, %s, the words", name, scheme)
				b.Screenshot(fmt.Sprintf("%s-%d-%s", name, width, scheme))
			}
		}
		accessible(t, b, name)
	}
	look("new")
	s.run()
	s.work()
	look("busy")
	s.fail()
	look("failing")
	require.Empty(t, b.Logged(), "no error, no violation of the policy")
	require.Equal(t, s.url+"style.css", b.Eval(`performance.getEntriesByType("resource").map((e) => e.name).join()`), "all that the page asks for")

	// The checks see what they are for.
	b.Scheme("light")
	b.Eval(`document.querySelector("main").append(Object.assign(document.createElement("div"), {className: "planted", textContent: "wide"})); ""`)
	b.Eval(`Object.assign(document.querySelector(".planted").style, {width: "3000px", color: "#999"}); ""`)
	require.False(t, b.Fits(390))
	require.Contains(t, b.Contrast(), "planted")
	b.Eval(`document.body.append(Object.assign(document.createElement("img"), {src: "https://elsewhere.example/x.png"})); ""`)
	b.Eval(`document.body.append(Object.assign(document.createElement("script"), {textContent: "window.pwned = 1"})); ""`)
	require.Equal(t, "undefined", b.Eval(`typeof window.pwned`))
	logged := strings.Join(b.Logged(), "")
	require.Contains(t, logged, "Content Security Policy")
	require.Contains(t, logged, "elsewhere.example", "what would leave the host is refused, and seen")
}

// accessible checks names, landmarks, headers of tables, and that the keyboard's place is seen.
func accessible(t *testing.T, b *testenv.Browser, page string) {
	t.Helper()
	roles, nameless := b.Roles("link", "heading", "image", "region", "table", "DisclosureTriangle")
	require.Empty(t, nameless, page)
	for _, role := range []string{"main", "banner", "contentinfo", "heading", "table", "region"} {
		require.NotZero(t, roles[role], "%s has no %s: %v", page, role, roles)
	}
	require.Equal(t, "1", b.Eval(`document.querySelectorAll("h1").length`), page)
	require.Equal(t, "0", b.Eval(`document.querySelectorAll("th:not([scope])").length`), page)
	b.Eval(`document.activeElement.blur(); ""`)
	for range 4 {
		b.Press("Tab", 9)
		require.Equal(t, "seen", b.Eval(`(() => {
			const e = document.activeElement, s = getComputedStyle(e);
			return e === document.body || s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 ? "seen" : e.outerHTML.slice(0, 80);
		})()`), page)
	}
}

// TestInBrowser reads the page as an operator does, who may have switched JavaScript off.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts=%t", scripts), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.run()
			s.work()
			b := testenv.StartBrowser(t)
			b.Scripts(scripts)
			b.Open(strings.TrimSuffix(s.url, "/")) // the mux adds the slash that links need
			text := b.Eval(`document.body.innerText`)
			for _, want := range []string{"web-1 in Frankfurt", "catalogue.prices-by-region", "Coherent", "Answering"} {
				require.Contains(t, text, want)
			}
			require.Equal(t, "5", b.Eval(`document.querySelectorAll("tbody tr").length`))
			b.Click(`summary`)
			require.Contains(t, b.Eval(`document.body.innerText`), "Loads under a lease")

			b.Follow(`a.live`)
			require.Equal(t, "?live", b.Eval(`location.search`))
			seen := s.asked.Load()
			require.Eventually(t, func() bool { return s.asked.Load() >= seen+2 }, time.Minute, 10*time.Millisecond, "it asks again by itself")
			require.Empty(t, b.Logged(), "no error, no violation of the policy")
		})
	}
}
