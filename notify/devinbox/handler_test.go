package devinbox_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/devinbox"
)

func get(h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func filled(t *testing.T) *devinbox.Inbox {
	in := open(t, nil)
	ctx := t.Context()
	_, err := in.SendEmail(ctx, notify.Email{
		Key: "k1", Kind: "auth.verify", Tenant: "acme", To: notify.Address{Name: "Ann", Email: "ann@example.com"},
		Subject: "Verify", Text: "Open https://acme.dev/v?a=1.", HTML: `<p><a href="https://acme.dev/v?a=1&amp;b=2">verify</a>`,
	})
	require.NoError(t, err)
	_, err = in.SendSMS(ctx, notify.SMS{Key: "k2", Kind: "incident.opened", Tenant: "globex", To: "+14155550100", Text: "DOWN"})
	require.NoError(t, err)
	return in
}

func TestMessagesJSON(t *testing.T) {
	t.Parallel()
	in := filled(t)
	list := func(query string) (to []string, total int) {
		w := get(in, "/messages.json"+query)
		require.Equal(t, 200, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		var out struct {
			Total    int                `json:"total"`
			Messages []devinbox.Message `json:"messages"`
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
		require.NotNil(t, out.Messages, "an empty list is [], not null")
		for _, m := range out.Messages {
			to = append(to, m.To)
		}
		return to, out.Total
	}
	for query, want := range map[string][]string{
		"":                       {"+14155550100", "ann@example.com"},
		"?limit=1":               {"+14155550100"},
		"?to=ann@example.com":    {"ann@example.com"},
		"?to=%2B14155550100":     {"+14155550100"},
		"?channel=email":         {"ann@example.com"},
		"?kind=incident.opened":  {"+14155550100"},
		"?tenant=acme":           {"ann@example.com"},
		"?q=VERIFY":              {"ann@example.com"},
		"?q=verify&channel=sms":  nil,
		"?to=nobody@example.com": nil,
	} {
		to, total := list(query)
		require.Equal(t, want, to, query)
		require.Equal(t, 2, total)
	}
	for _, bad := range []string{"0", "501", "x", "-1"} {
		require.Equal(t, 400, get(in, "/messages.json?limit="+bad).Code)
	}
	require.JSONEq(t, `{"total":0,"messages":[]}`, get(open(t, nil), "/messages.json").Body.String())
}

func TestETag(t *testing.T) {
	t.Parallel()
	in := filled(t)
	for _, path := range []string{"/list", "/messages.json", "/style.css", "/app.js", "/"} {
		tag := get(in, path).Header().Get("ETag")
		again := get(in, path, "If-None-Match", tag)
		require.Equal(t, 304, again.Code, path)
		require.Empty(t, again.Body.String())
	}
	tag := get(in, "/list").Header().Get("ETag")
	in.Clear()
	require.Equal(t, 200, get(in, "/list", "If-None-Match", tag).Code)
}

func TestRedirectToTheSlash(t *testing.T) {
	t.Parallel()
	h := http.StripPrefix("/dev/inbox", open(t, nil))
	w := get(h, "/dev/inbox")
	require.Equal(t, 308, w.Code)
	require.Equal(t, "/dev/inbox/", w.Header().Get("Location"))
	w = get(http.StripPrefix("//evil.example", open(t, nil)), "//evil.example")
	require.NotContains(t, w.Header().Get("Location"), "//", "never to another host")
}

func TestMethodsAndPaths(t *testing.T) {
	t.Parallel()
	in := filled(t)
	require.Equal(t, 404, get(in, "/nothing").Code)
	require.Equal(t, 404, get(in, "/message.html?m=nothing").Code)
	gone := get(in, "/?m=nothing")
	require.Equal(t, 404, gone.Code)
	require.Equal(t, "text/html; charset=utf-8", gone.Header().Get("Content-Type"))
	require.Contains(t, gone.Body.String(), "This message is gone")
	w := httptest.NewRecorder()
	in.ServeHTTP(w, httptest.NewRequest("DELETE", "/messages.json", nil))
	require.Equal(t, 405, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	require.Equal(t, 405, get(in, "/clear").Code, "a link must not delete")
	require.Len(t, in.Messages(), 2)
}

func TestClear(t *testing.T) {
	t.Parallel()
	in := filled(t)
	post := func(site string) int {
		r := httptest.NewRequest("POST", "/clear", nil)
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		in.ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, 403, post("cross-site"))
	require.Len(t, in.Messages(), 2)
	require.Equal(t, 303, post("same-origin"))
	require.Empty(t, in.Messages())
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	in := filled(t)
	id := in.Messages()[1].ID
	for _, path := range []string{"/", "/list", "/messages.json", "/style.css", "/app.js", "/nothing", "/?m=" + id} {
		h := get(in, path).Header()
		policy := h.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'", path)
		require.Contains(t, policy, "frame-ancestors 'none'", path)
		require.NotContains(t, policy, "unsafe", path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
	}
	mail := get(in, "/message.html?m="+id).Header().Get("Content-Security-Policy")
	require.Contains(t, mail, "sandbox allow-popups allow-popups-to-escape-sandbox;")
	require.NotContains(t, mail, "script-src")
	require.NotContains(t, mail, "allow-scripts")
	require.NotContains(t, mail, "allow-same-origin")
}

// Nothing is loaded from elsewhere, and no inline code needs a looser policy.
func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	in := filled(t)
	page := get(in, "/?m="+in.Messages()[1].ID).Body.String()
	for _, bad := range []string{`src="http`, `src="//`, "<style", "style=", "onclick", "javascript:"} {
		require.NotContains(t, page, bad)
	}
	require.Equal(t, 1, strings.Count(page, "<script"))
	require.NotContains(t, get(in, "/style.css").Body.String(), "url(")
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"hello":                             "1 segment · 5 of 160 characters · GSM-7",
		strings.Repeat("a", 160):            "1 segment · 160 of 160 characters · GSM-7",
		strings.Repeat("a", 161):            "2 segments · 161 of 306 characters · GSM-7",
		"€":                                 "1 segment · 2 of 160 characters · GSM-7",
		strings.Repeat("ж", 70):             "1 segment · 70 of 70 characters · UCS-2",
		strings.Repeat("ж", 71):             "2 segments · 71 of 134 characters · UCS-2",
		"🚀":                                 "1 segment · 2 of 70 characters · UCS-2",
		"a" + strings.Repeat("🚀", 35) + "b": "2 segments · 72 of 134 characters · UCS-2",
	} {
		in := open(t, nil)
		id, err := in.SendSMS(t.Context(), notify.SMS{To: "+14155550100", Text: text})
		require.NoError(t, err)
		require.Contains(t, get(in, "/?m="+id).Body.String(), want)
	}
}

func FuzzPage(f *testing.F) {
	f.Add("Ann", "Hi", "text https://acme.dev/x.", "<a href='https://acme.dev/?a=1&amp;b=2'>x</a>", "q")
	f.Add("<script>fuzz()</script>", "</title><script>fuzz()</script>", strings.Repeat("é", 600), "<style>x</style><script>fuzz()</script>", `"><script>fuzz()</script>`)
	f.Add("", "\u202e", "https://", "<a href=\"https://[::1\">", "%zz")
	f.Fuzz(func(t *testing.T, name, subject, text, html, q string) {
		in, err := devinbox.New(nil)
		require.NoError(t, err)
		id, err := in.SendEmail(t.Context(), notify.Email{To: notify.Address{Name: name, Email: "ann@example.com"}, Subject: subject, Text: text, HTML: html})
		if err != nil {
			require.ErrorIs(t, err, notify.ErrInvalid)
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		query := r.URL.Query()
		query.Set("m", id)
		query.Set("q", q)
		r.URL.RawQuery = query.Encode()
		w := httptest.NewRecorder()
		in.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code)
		require.Equal(t, 1, strings.Count(w.Body.String(), "<script"), "only the page's own")
	})
}
