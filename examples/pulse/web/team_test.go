package web_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/examples/pulse/web"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// ours is a team, a context to prepare it in, and its first key.
type ours struct {
	*world
	t   *testing.T
	ctx context.Context
	key string
}

func newOurs(t *testing.T, w *world, slug string) *ours {
	var out app.SignUpOut
	w.client.Post("/signup", app.SignUpIn{Team: slug, Slug: slug, Email: "ops@" + slug + ".example"}).RequireStatus(http.StatusCreated).JSON(&out)
	return &ours{w, t, registry.Trusted(tenancy.WithID(t.Context(), out.ID)), out.APIKey}
}

// as is a browser that was told a key.
func (o *ours) as(key string) *httpxtest.Client {
	login := base64.StdEncoding.EncodeToString([]byte("ann:" + key))
	return o.client.With("Authorization", "Basic "+login).With("Content-Type", "application/x-www-form-urlencoded")
}

func (o *ours) keyFor(scopes ...string) string {
	_, secret, err := o.app.Registry.CreateKey(o.ctx, registry.NewKey{Name: "some", Scopes: scopes})
	require.NoError(o.t, err)
	return secret.Reveal()
}

func (o *ours) add(users ...string) {
	for _, u := range users {
		require.NoError(o.t, o.app.Registry.AddMember(o.ctx, u, "member"))
	}
}

func (o *ours) invite(email string) registry.Invitation {
	inv, _, err := o.app.Registry.Invite(o.ctx, registry.NewInvitation{Email: email, Role: "member"})
	require.NoError(o.t, err)
	return inv
}

func post(c *httpxtest.Client, action, who, role string) *httpxtest.Response {
	return c.Post("/team/members", url.Values{"action": {action}, "who": {who}, "role": {role}}.Encode())
}

func TestTeamPagesAreForTheTeam(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, globex := newOurs(t, w, "acme"), newOurs(t, w, "globex")
	acme.add("<script>alert(1)</script>")
	for _, path := range []string{"/team/members", "/team/audit"} {
		for _, c := range []*httpxtest.Client{w.client, acme.as(""), acme.as("sk_live_wrong"), acme.as(acme.key + "x")} {
			c.Get(path).RequireStatus(http.StatusUnauthorized).RequireHeader("WWW-Authenticate", `Basic realm="pulse: any name, and an API key as the password", charset="UTF-8"`)
		}
		page := acme.as(acme.key).Get(path).RequireStatus(http.StatusOK)
		require.Contains(t, string(page.Body), "acme")
		require.NotContains(t, string(page.Body), "globex")
		require.NotContains(t, string(page.Body), "<script")
		require.Contains(t, page.Header.Get("Content-Security-Policy"), "default-src 'none'")
		require.NotContains(t, string(globex.as(globex.key).Get(path).Body), "acme")
	}
	page := string(acme.as(acme.key).Get("/team/members").Body)
	require.Contains(t, page, "ops@acme.example", "who signed up is the owner")
	require.Contains(t, page, "&lt;script&gt;")
	w.client.With("Authorization", "Bearer "+acme.key).Get("/team/members").RequireStatus(http.StatusOK)
	log := string(acme.as(acme.key).Get("/team/audit").Body)
	require.Contains(t, log, "pulse.contacts.insert")
	require.Contains(t, log, "<dt>email</dt><dd><span class=\"quiet\">not kept</span></dd>")
	require.Contains(t, log, "member.added")
}

func TestTeamPagesAskForPermissions(t *testing.T) {
	t.Parallel()
	o := newOurs(t, newWorld(t), "acme")
	o.add("bob")
	readers, auditors, writers := o.as(o.keyFor("members.read")), o.as(o.keyFor("audit.*")), o.as(o.keyFor("members.*", "read"))
	page := readers.Get("/team/members").RequireStatus(http.StatusOK)
	require.Contains(t, string(page.Body), "bob")
	require.NotContains(t, string(page.Body), "<form", "nothing to press that would be refused")
	require.NotContains(t, string(page.Body), `href="/team/audit"`, "nor to follow")
	readers.Get("/team/audit").RequireProblem(http.StatusForbidden, "forbidden")
	whole := string(o.as(o.key).Get("/team/members").RequireStatus(http.StatusOK).Body)
	require.Contains(t, whole, `name="who" value="bob"`)
	require.NotContains(t, whole, `value="ops@acme.example"`, "no key changes an owner")
	require.NotContains(t, whole, ">owner</option>", "nor makes one")
	require.NoError(t, o.app.Registry.AddMember(o.ctx, "eve", "admin"))
	some := string(writers.Get("/team/members").RequireStatus(http.StatusOK).Body)
	require.Contains(t, some, `name="who" value="bob"`)
	require.NotContains(t, some, `name="who" value="eve"`, "who may more than the key")
	require.NotContains(t, some, "<select", "there is one role to give")
	require.NotContains(t, string(o.as(o.keyFor("members.*")).Get("/team/members").Body), "<form", "a member may read, which this key may not")
	post(readers, "remove", "bob", "").RequireStatus(http.StatusForbidden)
	post(writers, "remove", "eve", "").RequireStatus(http.StatusForbidden)
	auditors.Get("/team/audit").RequireStatus(http.StatusOK)
	auditors.Get("/team/members").RequireProblem(http.StatusForbidden, "forbidden")
	post(auditors, "remove", "bob", "").RequireProblem(http.StatusForbidden, "forbidden")
	require.Contains(t, string(post(writers, "role", "bob", "admin").RequireStatus(http.StatusForbidden).Body), "may not do that", "more than the key has")
	m, err := o.app.Registry.Member(o.ctx, "bob")
	require.NoError(t, err)
	require.Equal(t, "member", m.Role)
	post(writers, "remove", "bob", "").RequireStatus(http.StatusSeeOther)
}

func TestTeamPagesChangeMembers(t *testing.T) {
	t.Parallel()
	o := newOurs(t, newWorld(t), "acme")
	o.add("bob")
	inv := o.invite("cid@acme.example")
	c := o.as(o.key)
	require.Contains(t, string(c.Get("/team/members").Body), "cid@acme.example")
	post(c, "role", "bob", "admin").RequireStatus(http.StatusSeeOther)
	m, err := o.app.Registry.Member(o.ctx, "bob")
	require.NoError(t, err)
	require.Equal(t, "admin", m.Role)
	post(c, "revoke", inv.ID, "").RequireStatus(http.StatusSeeOther)
	require.NotContains(t, string(c.Get("/team/members").Body), "cid@acme.example")
	log := string(c.Get("/team/audit?subject=" + url.QueryEscape("member/bob")).RequireStatus(http.StatusOK).Body)
	require.Contains(t, log, "· key/", "who did it")
	require.Contains(t, log, "<del>member</del> <ins>admin</ins>")
	require.NotContains(t, log, "invitation")

	for status, r := range map[int]*httpxtest.Response{
		http.StatusForbidden:           post(c, "remove", "ops@acme.example", ""), // only owners unmake owners
		http.StatusNotFound:            post(c, "role", "nobody", "member"),
		http.StatusUnprocessableEntity: post(c, "role", "bob", "emperor"),
	} {
		r.RequireStatus(status)
		require.Contains(t, string(r.Body), `role="alert"`, "a page that says why")
		require.Contains(t, string(r.Body), "bob")
	}
	post(c, "promote", "bob", "").RequireStatus(http.StatusNotFound)
	post(c.With("Sec-Fetch-Site", "cross-site"), "remove", "bob", "").RequireStatus(http.StatusForbidden)
	_, err = o.app.Registry.Member(o.ctx, "bob")
	require.NoError(t, err, "a page of another site has removed nobody")
	c.Get("/team/audit?before=x").RequireProblem(http.StatusBadRequest, "invalid")
	for _, text := range []string{"%00", "a%00b", "%ff"} { // what PostgreSQL has no text for
		c.Get("/team/members?after="+text).RequireProblem(http.StatusBadRequest, "invalid")
		c.Get("/team/members?from="+text).RequireProblem(http.StatusBadRequest, "invalid")
		c.Get("/team/audit?subject="+text).RequireProblem(http.StatusBadRequest, "invalid")
		for _, action := range []string{"role", "remove", "revoke"} {
			c.Post("/team/members", "role=member&action="+action+"&who="+text).RequireProblem(http.StatusBadRequest, "invalid")
		}
	}
}

var (
	users = regexp.MustCompile(`<span class="name">(u\d+) `)
	more  = regexp.MustCompile(`<p class="more"><a href="([^"]*)">(More members|Older entries)`)
	added = regexp.MustCompile(`\?subject=member%2f(u\d+)"`)
)

// TestTeamPagesAreKeysets: what comes and goes before the place where a reader is shifts nothing.
func TestTeamPagesAreKeysets(t *testing.T) {
	t.Parallel()
	o := newOurs(t, newWorld(t), "acme")
	var want []string
	for n := range 120 {
		want = append(want, fmt.Sprintf("u%03d", n))
	}
	o.add(want...)
	c := o.as(o.key)
	for path, names := range map[string]*regexp.Regexp{"/team/members": users, "/team/audit": added} {
		seen, next := []string{}, ""
		for pages := 1; ; pages++ {
			body := string(c.Get(path + next).RequireStatus(http.StatusOK).Body)
			for _, m := range names.FindAllStringSubmatch(body, -1) {
				seen = append(seen, m[1])
			}
			link := more.FindStringSubmatch(body)
			if link == nil {
				require.GreaterOrEqual(t, pages, 3)
				break
			}
			next = html.UnescapeString(link[1])
			o.add(fmt.Sprint("a newcomer ", strings.Trim(path, "/"), pages)) // the first member, the newest entry
		}
		require.ElementsMatch(t, want, seen, path)
	}
}

// TestTeamPagesLookRight checks what can be measured, without scripts, and leaves pictures for eyes: -artifacts.
func TestTeamPagesLookRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newOurs(t, w, "acme")
	const long = "a.very.long.name.of.somebody.who.has.many.of.them@a.long.domain.of.a.company.example"
	o.add("bob@acme.example", long)
	o.invite("cid@acme.example")
	srv := httptest.NewServer(web.New(w.app, web.Options{Health: httpx.NewHealth(nil, nil)}))
	t.Cleanup(srv.Close)
	at := strings.Replace(srv.URL, "://", "://ann:"+o.key+"@", 1)
	b := testenv.StartBrowser(t)
	b.Scripts(false)
	for _, page := range []string{"members", "audit"} {
		for _, width := range []int{1280, 390} {
			for _, scheme := range []string{"light", "dark"} {
				b.Resize(width)
				b.Scheme(scheme)
				b.Open(at + "/team/" + page)
				require.True(t, b.Fits(width), "%s at %d pixels", page, width)
				require.Equal(t, "ok", b.Contrast(), "%s, %s", page, scheme)
				b.Screenshot(fmt.Sprintf("%s-%d-%s", page, width, scheme))
			}
		}
		roles, nameless := b.Roles("link", "heading", "button", "combobox")
		require.Empty(t, nameless, page)
		require.NotZero(t, roles["main"]*roles["navigation"]*roles["heading"], "%v", roles)
	}
	b.Resize(1280)
	b.Open(at + "/team/members")
	b.Follow(`li:has(input[value="bob@acme.example"]) button[value=remove]`)
	require.NotContains(t, b.Eval(`document.body.innerText`), "bob@acme.example")
	require.NoError(t, o.app.Registry.RemoveMember(o.ctx, long)) // meanwhile
	b.Follow(`li:has(input[value="` + long + `"]) button[value=remove]`)
	require.Contains(t, b.Eval(`document.body.innerText`), "There is no such thing in this team.")
	b.Screenshot("refused")
	b.Follow(`nav a[href="/team/audit"]`)
	require.Contains(t, b.Eval(`document.body.innerText`), "member.removed")
}
