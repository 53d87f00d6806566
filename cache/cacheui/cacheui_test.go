package cacheui_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/cache/cacheui"
)

func open(t *testing.T, h http.Handler, path string) (*httptest.ResponseRecorder, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w, w.Body.String()
}

// squeezed leaves the markup out.
func squeezed(page string) string {
	var b strings.Builder
	in := false
	for _, r := range page {
		switch {
		case r == '<':
			in = true
			b.WriteByte(' ')
		case r == '>':
			in = false
		case !in:
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(b.String(), "\u202f", "")), " ")
}

func TestPage(t *testing.T) {
	t.Parallel()
	store := cachetest.New(t)
	hub, err := cache.New(store, nil)
	require.NoError(t, err)
	ui, err := cacheui.New(hub, &cacheui.Options{Title: `<b>node</b> 7`})
	require.NoError(t, err)
	c := cache.Define[int, string](hub, "users", &cache.Policy{TTL: time.Minute})
	cache.Define[int, string](hub, "unused", &cache.Policy{TTL: time.Minute})
	_, page := open(t, ui, "/")
	require.Contains(t, squeezed(page), "Answered without a load – 0 answers")
	for i := range 3000 {
		_, err := c.Fetch(t.Context(), i%30, func(context.Context, int) (string, error) { return "secret value", nil })
		require.NoError(t, err)
	}
	_, err = c.Fetch(t.Context(), 99, func(context.Context, int) (string, error) { return "", errors.New("no") })
	require.Error(t, err)

	w, page := open(t, ui, "/")
	require.Equal(t, http.StatusOK, w.Code)
	text := squeezed(page)
	require.Contains(t, text, "Answered without a load 99.0 % 3001 answers")
	require.Contains(t, text, "Memory Off", "Run does not run")
	require.Contains(t, text, "Store Answering 0 calls failed")
	require.Contains(t, text, "users 99.0 % 0 2970 0 31 0 0")
	require.Contains(t, text, "unused not asked yet –")
	require.Contains(t, text, "GetOrLoad")
	require.Contains(t, page, "&lt;b&gt;node&lt;/b&gt; 7")
	require.NotContains(t, page, "<b>node")
	require.NotContains(t, page, "secret value")
	require.NotContains(t, page, "http-equiv")
	require.NotContains(t, page, "<script")
	require.NotContains(t, page, "style=", "the policy refuses it")
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	_, page = open(t, ui, "/?live")
	require.Contains(t, page, `http-equiv="refresh"`)

	store.Down(true)
	require.Error(t, c.Invalidate(t.Context(), 1))
	for i := range 5 {
		_, err := c.Fetch(t.Context(), i, func(context.Context, int) (string, error) { return "", nil })
		require.NoError(t, err)
	}
	_, page = open(t, ui, "/")
	text = squeezed(page)
	require.Contains(t, text, "Store Failing")
	require.Contains(t, text, "Invalidations due 1")
}

func TestPageOfARunningHub(t *testing.T) {
	t.Parallel()
	hub, err := cache.New(cachetest.New(t), nil)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	require.Eventually(t, func() bool { return hub.Stats().Coherent }, 30*time.Second, time.Millisecond)
	ui, err := cacheui.New(hub, nil)
	require.NoError(t, err)
	_, page := open(t, ui, "/")
	require.Contains(t, squeezed(page), "Memory Coherent proven")
	stop()
	require.NoError(t, <-ended)
	_, page = open(t, ui, "/")
	require.Contains(t, squeezed(page), "Memory Off")
}

// What the page says of all caches is the sum of what it says of each.
func TestAllIsTheSum(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run()
	s.work()
	_, page := open(t, s.ui, "/")
	answers := regexp.MustCompile(`aria-label="([0-9\x{202f}]+) answers"`).FindAllStringSubmatch(page, -1)
	require.Greater(t, len(answers), 2)
	sum := int64(0)
	for i, m := range answers {
		n, err := strconv.ParseInt(strings.ReplaceAll(m[1], "\u202f", ""), 10, 64)
		require.NoError(t, err)
		if i == 0 {
			n = -n
		}
		sum += n
	}
	require.Zero(t, sum)
	for _, column := range []string{"Memory", "Store", "Stale", "Loads", "Shared", "Rejected", "Failed", "Shed"} {
		cell := regexp.MustCompile(`data-label="` + column + `">([0-9\x{202f}]+)<`)
		require.True(t, slices.ContainsFunc(cell.FindAllStringSubmatch(page, -1), func(m []string) bool { return m[1] != "0" }), "the stage leaves nothing at 0: %s", column)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	hub, err := cache.New(cachetest.New(t), nil)
	require.NoError(t, err)
	ui, err := cacheui.New(hub, nil)
	require.NoError(t, err)
	mounted := http.StripPrefix("/debug/cache", ui)
	w, _ := open(t, mounted, "/debug/cache")
	require.Equal(t, http.StatusPermanentRedirect, w.Code)
	require.Equal(t, "/debug/cache/", w.Header().Get("Location"))
	w, css := open(t, mounted, "/debug/cache/style.css")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Header().Get("Content-Type"), "text/css")
	require.Contains(t, css, "prefers-color-scheme: dark")
	for _, path := range []string{"/page.html", "/assets/", "/x"} {
		w, _ := open(t, ui, path)
		require.Equal(t, http.StatusNotFound, w.Code, path)
	}
	w = httptest.NewRecorder()
	ui.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	_, err = cacheui.New(nil, nil)
	require.Error(t, err)
}

func ExampleNew() {
	hub, err := cache.New(cachetest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	cache.Define[int64, string](hub, "users", &cache.Policy{TTL: time.Minute})
	ui, err := cacheui.New(hub, &cacheui.Options{Title: "web-1"})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux() // behind the login of operators
	mux.Handle("/debug/cache/", http.StripPrefix("/debug/cache", ui))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/cache/", nil))
	fmt.Println(w.Code, strings.Contains(w.Body.String(), "users"))
	// Output: 200 true
}
