package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics/analyticstest"
	"github.com/ashlar-go/ashlar/billing/billingtest"
	"github.com/ashlar-go/ashlar/billing/pgbilling"
	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/examples/pulse/probe"
	"github.com/ashlar-go/ashlar/examples/pulse/web"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/notify/notifytest"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// world is pulse over a real PostgreSQL, with fakes for everything else.
type world struct {
	client   *httpxtest.Client
	provider *billingtest.Provider
	app      *app.App
}

func newWorld(t *testing.T) *world {
	own, err := app.Migrations()
	require.NoError(t, err)
	pg := testenv.Postgres(t, tenancy.Migrations, registry.Migrations, pgbilling.Migrations, own)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	queue, err := jobs.New(jobstest.New(t), &jobs.Options{Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID})
	require.NoError(t, err)
	hub, err := cache.New(cachetest.New(t), &cache.Options{Tenant: tenancy.IDFrom})
	require.NoError(t, err)
	plans, err := pgbilling.New(pg.System, &pgbilling.Options{Tx: tenancy.Pgx})
	require.NoError(t, err)
	stats, _ := analyticstest.New(t, nil)
	mail := notifytest.New(t)
	w := &world{provider: billingtest.NewProvider(&billingtest.ProviderOptions{URL: "http://pulse.test"})}
	w.app, err = app.New(app.Deps{
		DB: db, Queue: queue, Hub: hub, Provider: w.provider, Plans: plans, Mail: mail, SMS: mail, Analytics: stats,
		Prober: probe.New(nil), Base: "http://pulse.test",
	})
	require.NoError(t, err)
	w.provider.Connect(w.app.Billing.Webhook())
	health := httpx.NewHealth(map[string]func(context.Context) error{"never": func(context.Context) error { return errors.New("planned") }}, nil)
	w.client = httpxtest.NewClient(t, web.New(w.app, web.Options{Health: health, Checkout: w.provider}))
	return w
}

func (w *world) signUp(t *testing.T, slug string) *httpxtest.Client {
	var out app.SignUpOut
	w.client.Post("/signup", app.SignUpIn{Team: slug, Slug: slug, Email: "ops@" + slug + ".example"}).RequireStatus(http.StatusCreated).JSON(&out)
	require.Equal(t, slug, out.Slug)
	return w.client.With("Authorization", "Bearer "+out.APIKey)
}

func monitorIn(name string) map[string]string {
	return map[string]string{"name": name, "url": "https://example.com/" + name, "interval": "60s"}
}

func TestTeamsSeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, globex := w.signUp(t, "acme"), w.signUp(t, "globex")
	var shop app.Monitor
	acme.Post("/monitors", monitorIn("shop")).RequireStatus(http.StatusCreated).JSON(&shop)
	acme.Get("/monitors/" + shop.ID).RequireStatus(http.StatusOK)

	var list []app.Monitor
	globex.Get("/monitors").RequireStatus(http.StatusOK).JSON(&list)
	require.Empty(t, list)
	for _, r := range []*httpxtest.Response{
		globex.Get("/monitors/" + shop.ID),
		globex.Get("/monitors/" + shop.ID + "/uptime"),
		globex.Post("/monitors/"+shop.ID+"/checks", nil),
		globex.Do("DELETE", "/monitors/"+shop.ID, nil),
	} {
		r.RequireProblem(http.StatusNotFound, "not_found")
	}
	acme.Get("/monitors").JSON(&list)
	require.Len(t, list, 1, "the other team removed nothing")

	for _, c := range []*httpxtest.Client{w.client, w.client.With("Authorization", "Bearer pulse_WRONG"), w.client.With("Authorization", "Basic YTpi")} {
		r := c.Get("/monitors")
		r.RequireProblem(http.StatusUnauthorized, "unknown_key")
		r.RequireHeader("WWW-Authenticate", `Bearer realm="pulse"`)
	}
}

func TestPlansLimitMonitorsAndInterval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.signUp(t, "acme")
	fast := monitorIn("fast")
	fast["interval"] = "1s"
	acme.Post("/monitors", fast).RequireProblem(http.StatusPaymentRequired, "plan_limit")
	for _, name := range []string{"one", "two"} {
		acme.Post("/monitors", monitorIn(name)).RequireStatus(http.StatusCreated)
	}
	problem := acme.Post("/monitors", monitorIn("three")).RequireProblem(http.StatusPaymentRequired, "plan_limit")
	require.Equal(t, "pro", problem["upgrade"])

	// Buying the plan on the provider's page lifts the limit.
	var session app.CheckoutOut
	acme.Post("/checkout", app.CheckoutIn{Plan: "pro"}).RequireStatus(http.StatusOK).JSON(&session)
	path := strings.TrimPrefix(session.URL, "http://pulse.test")
	w.client.Get(path).RequireStatus(http.StatusOK)
	w.client.Do("POST", path, "").RequireStatus(http.StatusSeeOther)
	var plan app.PlanOut
	acme.Get("/plan").JSON(&plan)
	require.Equal(t, app.PlanOut{Plan: "pro", Monitors: 50, Checks: 3600}, plan)
	acme.Post("/monitors", monitorIn("three")).RequireStatus(http.StatusCreated)
	acme.Post("/monitors", fast).RequireStatus(http.StatusCreated)
	acme.Post("/checkout", app.CheckoutIn{Plan: "pro"}).RequireProblem(http.StatusConflict, "already_subscribed")
	acme.Post("/checkout", app.CheckoutIn{Plan: "gold"}).RequireProblem(http.StatusUnprocessableEntity, "unknown_plan")
}

// TestLimitHoldsUnderConcurrency: ten at once for two places.
func TestLimitHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.signUp(t, "acme")
	statuses := make(chan int, 10)
	for range cap(statuses) {
		go func() { statuses <- acme.Post("/monitors", monitorIn("racing")).Status }()
	}
	count := map[int]int{}
	for range cap(statuses) {
		count[<-statuses]++
	}
	require.Equal(t, map[int]int{http.StatusCreated: 2, http.StatusPaymentRequired: 8}, count)
}

func TestBadInputIsAProblem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.signUp(t, "acme")
	for name, c := range map[string]struct {
		response *httpxtest.Response
		status   int
	}{
		"unknown field":  {acme.Post("/monitors", `{"name":"a","url":"https://a.example","color":"red"}`), 422},
		"repeated field": {acme.Post("/monitors", `{"name":"a","name":"b","url":"https://a.example"}`), 422},
		"not JSON":       {acme.Post("/monitors", `{`), 400},
		"other type":     {acme.With("Content-Type", "text/plain").Post("/monitors", `{}`), 415},
		"oversize":       {acme.Post("/monitors", `{"name":"`+strings.Repeat("a", 2<<20)+`"}`), 413},
		"bad URL":        {acme.Post("/monitors", map[string]string{"name": "a", "url": "ftp://a.example"}), 422},
		"bad interval":   {acme.Post("/monitors", map[string]string{"name": "a", "url": "https://a.example", "interval": "often"}), 422},
		"bad e-mail":     {w.client.Post("/signup", app.SignUpIn{Team: "a", Slug: "a", Email: "nobody"}), 422},
		"bad slug":       {w.client.Post("/signup", app.SignUpIn{Team: "a", Slug: "../a", Email: "a@a.example"}), 422},
		"taken slug":     {w.client.Post("/signup", app.SignUpIn{Team: "a", Slug: "acme", Email: "a@a.example"}), 409},
		"wrong method":   {acme.Do("PATCH", "/monitors", nil), 405},
		"no such page":   {w.client.Get("/nowhere"), 404},
		"no such team":   {w.client.Get("/status/nobody"), 404},
		"unknown query":  {acme.Get("/monitors?limit=1"), 400},
		"not ready":      {w.client.Get("/readyz"), 503},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.status, c.response.Status, "%s", c.response.Body)
			require.Equal(t, "application/problem+json", strings.Split(c.response.Header.Get("Content-Type"), ";")[0])
		})
	}
	require.NotEmpty(t, acme.Do("PATCH", "/monitors", nil).Header.Get("Allow"))
}

// TestSignUpSaysWhichField: an address that is valid for mail can be none for a member.
func TestSignUpSaysWhichField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, email := range []string{"ann@" + strings.Repeat("d.", 100) + "example", "key/ann@acme.example"} {
		p := w.client.Post("/signup", app.SignUpIn{Team: "Acme", Slug: "acme", Email: email}).RequireProblem(http.StatusUnprocessableEntity, "invalid")
		require.Contains(t, fmt.Sprint(p["errors"]), "/email", email)
		require.Contains(t, fmt.Sprint(p["errors"]), "200 bytes", "valid but for this")
	}
	w.signUp(t, "acme") // nothing is left of what was refused
}

func TestContactsAreRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, globex := w.signUp(t, "acme"), w.signUp(t, "globex")
	var ann, again app.Contact
	acme.Post("/contacts", app.ContactIn{Name: "Ann", Email: "ann@acme.example"}).RequireStatus(http.StatusCreated).JSON(&ann)
	taken := acme.Post("/contacts", app.ContactIn{Name: "Ann", Email: "ann@acme.example"}).RequireProblem(http.StatusConflict, "conflict")
	require.Contains(t, fmt.Sprint(taken["errors"]), "/email")
	globex.Post("/contacts", app.ContactIn{Name: "Ann", Email: "ann@acme.example"}).RequireStatus(http.StatusCreated)

	// Who wrote first wins; the other one has to look.
	change := map[string]any{"name": "Ann B.", "email": "ann@acme.example", "phone": "", "version": ann.Version}
	acme.Do("PUT", "/contacts/"+ann.ID, change).RequireStatus(http.StatusOK).JSON(&again)
	require.Equal(t, ann.Version+1, again.Version)
	acme.Do("PUT", "/contacts/"+ann.ID, change).RequireProblem(http.StatusConflict, "stale")
	globex.Do("PUT", "/contacts/"+ann.ID, change).RequireProblem(http.StatusNotFound, "not_found")
	globex.Do("DELETE", "/contacts/"+ann.ID, nil).RequireProblem(http.StatusNotFound, "not_found")
	acme.Post("/contacts", app.ContactIn{Name: "Bob", Email: "nobody"}).RequireProblem(http.StatusUnprocessableEntity, "invalid")

	// Pages: the team's own contact, Ann, Zoe.
	acme.Post("/contacts", app.ContactIn{Name: "zoe", Email: "zoe@acme.example"}).RequireStatus(http.StatusCreated)
	var names []string
	var page app.ContactsOut
	for next := ""; ; next = page.Next {
		page = app.ContactsOut{}
		acme.Get("/contacts?limit=2&after=" + url.QueryEscape(next)).RequireStatus(http.StatusOK).JSON(&page)
		for _, c := range page.Items {
			names = append(names, c.Name)
		}
		if page.Next == "" {
			break
		}
		globex.Get("/contacts?after="+url.QueryEscape(page.Next)).RequireProblem(http.StatusBadRequest, "cursor")
	}
	require.ElementsMatch(t, []string{"acme", "Ann B.", "zoe"}, names)
	acme.Do("DELETE", "/contacts/"+ann.ID, nil).RequireStatus(http.StatusNoContent)

	// Who did it is in the audit log, by the key.
	ctx := tenancy.System(t.Context(), "read the audit log")
	who, err := tenancy.All[string](ctx, w.app.DB, `select distinct actor from tenancy.audit where action = 'pulse.contacts.update'`)
	require.NoError(t, err)
	require.Len(t, who, 1)
	require.NotEmpty(t, who[0])
	acme.Do("DELETE", "/contacts/"+ann.ID, nil).RequireProblem(http.StatusNotFound, "not_found")
}

// TestCursorsOfAnotherProcess: those who share the secret read each other's cursors, whoever has none reads its own.
func TestCursorsOfAnotherProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := func(cursors []byte) *httpxtest.Client {
		d := w.app.Deps
		d.Cursors = cursors
		var err error
		d.Queue, err = jobs.New(jobstest.New(t), nil)
		require.NoError(t, err)
		a, err := app.New(d)
		require.NoError(t, err)
		return httpxtest.NewClient(t, web.New(a, web.Options{Health: httpx.NewHealth(nil, nil)}))
	}
	var out app.SignUpOut
	w.client.Post("/signup", app.SignUpIn{Team: "acme", Slug: "acme", Email: "ops@acme.example"}).RequireStatus(http.StatusCreated).JSON(&out)
	process := func(cursors []byte) *httpxtest.Client {
		return begin(cursors).With("Authorization", "Bearer "+out.APIKey)
	}
	key := []byte("a key of the cursors, shared by all")
	one, other, without := process(key), process(key), process(nil)
	one.Post("/contacts", app.ContactIn{Name: "Ann", Email: "ann@acme.example"}).RequireStatus(http.StatusCreated)
	var page app.ContactsOut
	one.Get("/contacts?limit=1").RequireStatus(http.StatusOK).JSON(&page)
	next := "/contacts?after=" + url.QueryEscape(page.Next)
	other.Get(next).RequireStatus(http.StatusOK)
	without.Get(next).RequireProblem(http.StatusBadRequest, "cursor")
}

func TestStatusPageHasAnETag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.signUp(t, "acme")
	first := w.client.Get("/status/acme").RequireStatus(http.StatusOK)
	tag := first.Header.Get("ETag")
	require.NotEmpty(t, tag)
	w.client.With("If-None-Match", tag).Get("/status/acme").RequireStatus(http.StatusNotModified)

	acme.Post("/monitors", monitorIn("<script>")).RequireStatus(http.StatusCreated)
	changed := w.client.With("If-None-Match", tag).Get("/status/acme").RequireStatus(http.StatusOK)
	require.NotEqual(t, tag, changed.Header.Get("ETag"), "the write dropped the cached answer")
	require.NotContains(t, string(changed.Body), "example.com", "what a team watches is not for everybody")

	page := w.client.Get("/status/acme/page").RequireStatus(http.StatusOK)
	require.Contains(t, string(page.Body), "&lt;script&gt;")
	require.NotContains(t, string(page.Body), "<script>")
	w.client.Get("/").RequireStatus(http.StatusOK)
}

func TestASlugThatWasLookedForBeforeIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.Get("/status/late").RequireProblem(http.StatusNotFound, "not_found")
	w.signUp(t, "late")
	w.client.Get("/status/late").RequireStatus(http.StatusOK)
}

func TestStatusPageForPeopleIsCachedPerTeam(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, globex := w.signUp(t, "acme"), w.signUp(t, "globex")
	acme.Post("/monitors", monitorIn("shop")).RequireStatus(http.StatusCreated)
	require.Contains(t, string(w.client.Get("/status/acme/page").Body), "shop")
	require.NotContains(t, string(w.client.Get("/status/globex/page").Body), "shop")
	globex.Post("/monitors", monitorIn("blog")).RequireStatus(http.StatusCreated)
	require.Contains(t, string(w.client.Get("/status/globex/page").Body), "blog", "the write dropped the cached page")
}

// TestChecksAreNotMultiplied: however often a team asks, one check of a monitor
// waits at a time.
func TestChecksAreNotMultiplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.signUp(t, "acme")
	var shop app.Monitor
	acme.Post("/monitors", monitorIn("shop")).RequireStatus(http.StatusCreated).JSON(&shop)
	for range 20 {
		acme.Post("/monitors/"+shop.ID+"/checks", nil).RequireStatus(http.StatusAccepted)
	}
	stats, err := w.app.Queue.Stats(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, stats.Ready)
}
