package jobsui_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/jobsui"
)

func pagesToLookAt() map[string]string {
	return map[string]string{
		"overview": "", "queue": "mail/", "empty-queue": "imports/",
		"running": "mail/jobs?state=running", "ready": "mail/jobs?state=ready", "dead": "mail/jobs?state=dead",
		"retries": "mail/jobs?state=scheduled&retried=1", "no-dead": "imports/jobs?state=dead", "no-match": "mail/jobs?state=ready&kind=none",
		"job": "mail/job?id=dead-2", "running-job": "mail/job?id=running-acme", "flow-job": "mail/job?id=flow-done~0.1", "no-job": "mail/job?id=none",
		"schedules": "mail/schedules", "no-schedules": "imports/schedules", "many-schedules": "reports/schedules", "one-schedule": "solo/schedules",
		"flows": "mail/flows", "no-flows": "imports/flows", "flow": "mail/flow?id=flow-runs", "failed-flow": "mail/flow?id=flow-failed&stage=1",
		"tenants": "mail/tenants", "no-tenants": "imports/tenants", "workers": "mail/workers", "no-workers": "imports/workers",
		"retried-job": "mail/job?id=retried", "kept-job": "mail/job?id=kept",
	}
}

// TestPagesLookRight checks what can be measured of how the pages look, and
// leaves pictures for eyes: go test -run TestPagesLookRight -artifacts.
func TestPagesLookRight(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := testenv.StartBrowser(t)
	for name, path := range pagesToLookAt() {
		for width, scheme := range map[int]string{1280: "light", 390: "dark"} {
			b.Resize(width)
			b.Scheme(scheme)
			b.Open(s.url + path)
			require.True(t, b.Fits(width), "%s at %d pixels", name, width)
			require.Equal(t, "ok", b.Contrast(), "%s, %s", name, scheme)
			if strings.Contains(name, "schedule") {
				cut := b.Eval(`String([...document.querySelectorAll(".table")].filter(t => t.scrollWidth > t.clientWidth).length)`)
				require.Equal(t, "0", cut, "%s hides its buttons at %d pixels", name, width)
			}
			b.Screenshot(fmt.Sprintf("%s-%d-%s", name, width, scheme))
		}
		s.accessible(b, name)
		if name == "schedules" {
			b.Follow(`button[value=unschedule]`)
			require.Equal(t, "ok", b.Contrast(), "unschedule")
			b.Screenshot("unschedule")
		}
	}
	for _, line := range b.Logged() {
		require.Contains(t, line, "404", "no page has an error or a violation but those that do not exist")
	}

	// The checks see what they are for.
	b.Scheme("light")
	b.Eval(`document.querySelector("main").append(Object.assign(document.createElement("div"), {className: "planted", textContent: "wide"})); ""`)
	b.Eval(`Object.assign(document.querySelector(".planted").style, {width: "3000px", color: "#999"}); ""`)
	b.Resize(390)
	require.False(t, b.Fits(390))
	require.Contains(t, b.Contrast(), "planted")
	seen := len(b.Logged())
	b.Eval(`document.body.append(Object.assign(document.createElement("script"), {textContent: "window.pwned = 1"})); ""`)
	require.Equal(t, "undefined", b.Eval(`typeof window.pwned`))
	require.Contains(t, strings.Join(b.Logged()[seen:], ""), "Content Security Policy")
}

// accessible checks names, landmarks, headers of tables, and that the keyboard's
// place is seen.
func (s *stage) accessible(b *testenv.Browser, page string) {
	s.Helper()
	roles, nameless := b.Roles("link", "button", "textbox", "checkbox", "spinbutton", "combobox", "heading", "progressbar", "region", "navigation")
	require.Empty(s, nameless, page)
	for _, role := range []string{"main", "banner", "navigation", "contentinfo", "heading"} {
		require.NotZero(s, roles[role], "%s has no %s: %v", page, role, roles)
	}
	require.Equal(s, "1", b.Eval(`document.querySelectorAll("h1, .blank h1").length`), page)
	require.Equal(s, "0", b.Eval(`document.querySelectorAll("th:not([scope])").length`), page)
	if page != "overview" {
		require.NotEqual(s, "0", b.Eval(`document.querySelectorAll("nav [aria-current]").length`), page)
	}
	b.Eval(`document.activeElement.blur(); ""`)
	for range 12 {
		b.Press("Tab", 9)
		got := b.Eval(`(() => {
			const e = document.activeElement, s = getComputedStyle(e);
			return e === document.body || s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 ? "seen" : e.outerHTML.slice(0, 80);
		})()`)
		require.Equal(s, "seen", got, page)
	}
}

// TestInBrowser does an operator's work, with JavaScript and without.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts=%t", scripts), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			b := testenv.StartBrowser(t)
			b.Scripts(scripts)
			b.Open(s.url)
			require.Equal(t, fmt.Sprint(scripts), b.Eval(`String(document.documentElement.classList.contains("js"))`))
			s.worksOnJobs(b)
			s.worksOnSchedules(b)
			s.worksOnFlows(b)
			s.worksOnTenants(b)
			s.looksAtWorkers(b)
			if scripts {
				s.staysLive(b)
			}
			require.Empty(t, b.Logged(), "no error, no violation of the policy")
		})
	}
}

func text(b *testenv.Browser) string { return b.Eval(`document.body.innerText`) }

func (s *stage) dead(kind string) int {
	s.Helper()
	found, _, err := s.q.Search(s.Context(), jobs.Filter{State: jobs.Dead, Kind: kind}, 0, 100)
	require.NoError(s, err)
	return len(found)
}

func (s *stage) worksOnJobs(b *testenv.Browser) {
	s.Helper()
	b.Follow(`.cards a[href="mail/"]`)
	b.Follow(`.tabs a[href="jobs"]`)
	require.Contains(s, text(b), "report.render", "the dead come first")
	b.Click(`input[name=kind]`)
	b.Type("mail.send")
	b.Follow(`.filters button`)
	require.NotContains(s, text(b), "report.render")

	b.Follow(`a[href="job?id=dead-0"]`)
	require.Contains(s, text(b), "ann@example.com")
	b.Follow(`button[value=requeue]`)
	require.Contains(s, text(b), "1 job requeued.")
	require.Equal(s, 2, s.dead("mail.send"))

	b.Click(`input[value="dead-1"]`)
	b.Follow(`button[value=delete]`)
	require.Contains(s, text(b), "1 job deleted.")
	b.Follow(`a[href^="jobs?state=dead"]`)
	b.Click(`input[name=kind]`)
	b.Type("mail.send")
	b.Follow(`.filters button`)
	require.Contains(s, text(b), "All that match:")
	b.Follow(`button[value=delete-all]`)
	require.Contains(s, text(b), "Delete 1 job?")
	require.Contains(s, text(b), "of the kind mail.send")
	require.Equal(s, 1, s.dead("mail.send"), "it was only asked")
	b.Follow(`main form button`)
	require.Contains(s, text(b), "1 job deleted.")
	require.Zero(s, s.dead("mail.send"))
	require.Equal(s, 1, s.dead("report.render"), "the others are there")
}

// TestLongWorkTellsHowFarItIs looks at a page while it is being written.
func TestLongWorkTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	d := &heavy{Driver: jobstest.New(t), release: make(chan struct{})}
	q, err := jobs.New(d, nil)
	require.NoError(t, err)
	items := make([]jobs.Item, 1300)
	for i := range items {
		items[i] = jobs.Item{Args: mail{To: "x"}, Options: &jobs.EnqueueOptions{Delay: time.Hour}}
	}
	_, err = q.EnqueueMany(t.Context(), items)
	require.NoError(t, err)
	ui, err := jobsui.New(map[string]*jobs.Queue{"mail": q}, &jobsui.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	srv := httptest.NewServer(ui)
	t.Cleanup(srv.Close)
	b := testenv.StartBrowser(t)
	b.Scripts(false)
	b.Open(srv.URL + "/mail/jobs?state=scheduled")
	require.Contains(t, text(b), "All 1\u202f300 that are scheduled:")
	b.Follow(`button[value=cancel-all]`)
	for width, scheme := range map[int]string{1280: "light", 390: "dark"} {
		b.Resize(width)
		b.Scheme(scheme)
		require.True(t, b.Fits(width))
		require.Equal(t, "ok", b.Contrast())
		b.Screenshot(fmt.Sprintf("confirm-all-%d-%s", width, scheme))
	}
	b.Click(`main form button`)
	release := sync.OnceFunc(func() { close(d.release) })
	t.Cleanup(release) // before the server is closed
	require.Eventually(t, func() bool { return strings.Contains(text(b), "1\u202f000 of 1\u202f300") }, patience, tick)
	for width, scheme := range map[int]string{1280: "light", 390: "dark"} {
		b.Resize(width)
		b.Scheme(scheme)
		require.True(t, b.Fits(width))
		require.Equal(t, "ok", b.Contrast())
		b.Screenshot(fmt.Sprintf("under-way-%d-%s", width, scheme))
	}
	release()
	require.Eventually(t, func() bool { return strings.Contains(text(b), "1\u202f300 jobs cancelled.") }, patience, tick)
	b.Screenshot("at-the-end")
	b.Follow(`main a.button`)
	require.Contains(t, text(b), "No job is scheduled")
}

// heavy takes a second and more for each step, and for the last one until it may
// go on.
type heavy struct {
	*jobstest.Driver
	steps   int
	release chan struct{}
}

func (h *heavy) ResolveMatching(ctx context.Context, ids []string, f driver.Filter, how driver.Resolution) (int, error) {
	<-time.After(1100 * time.Millisecond)
	if h.steps++; h.steps == 3 {
		<-h.release
	}
	return h.Driver.ResolveMatching(ctx, ids, f, how)
}

func (s *stage) worksOnSchedules(b *testenv.Browser) {
	s.Helper()
	b.Follow(`.tabs a[href="schedules"]`)
	require.Contains(s, text(b), "Every day at 03:17")
	b.Click(`input[name=text]`)
	b.Type("monitor-1")
	b.Follow(`.filters button`)
	require.NotContains(s, text(b), "reports.nightly")
	before, err := s.q.Stats(s.Context())
	require.NoError(s, err)
	b.Follow(`button[value=run]`)
	require.Contains(s, text(b), "A job of the schedule is enqueued.")
	after, err := s.q.Stats(s.Context())
	require.NoError(s, err)
	require.Equal(s, before.Ready+before.Parked+1, after.Ready+after.Parked)

	paused := func() bool {
		page, _, err := s.q.Schedules(s.as("acme"), "", 100)
		require.NoError(s, err)
		for _, one := range page {
			if one.Name == "monitor-1" {
				return one.Paused
			}
		}
		s.Fatal("no monitor-1")
		return false
	}
	b.Follow(`button[value=pause]`)
	require.True(s, paused())
	require.NotContains(s, text(b), "reports.nightly", "the filter stays")
	b.Follow(`button[value=resume]`)
	require.False(s, paused())

	names := func() (names []string) {
		page, _, err := s.q.Schedules(s.as("acme"), "", 100)
		require.NoError(s, err)
		for _, one := range page {
			names = append(names, one.Name)
		}
		slices.Sort(names)
		return names
	}
	all := []string{"monitor-1", "monitor-2", "monitor-3", "monitor-4"}
	b.Follow(`button[value=unschedule]`)
	require.Contains(s, text(b), "Unschedule monitor-1?")
	require.Contains(s, text(b), "the tenant acme")
	b.Follow(`main form a.button`)
	require.Equal(s, all, names(), "it was only asked")
	require.NotContains(s, text(b), "reports.nightly", "the filter stays")
	b.Follow(`button[value=unschedule]`)
	b.Follow(`main form button`)
	require.Contains(s, text(b), "The schedule is removed.")
	require.Contains(s, text(b), "No schedule matches")
	require.Equal(s, all[1:], names())
	b.Follow(`.filters a.button`)
	require.Equal(s, "3", b.Eval(`String(document.querySelectorAll("button[value=unschedule]").length)`), "none for those in code")
}

func (s *stage) worksOnFlows(b *testenv.Browser) {
	s.Helper()
	b.Follow(`.tabs a[href="flows"]`)
	b.Follow(`a[href="flow?id=flow-runs"]`)
	require.Contains(s, text(b), "running, 67 %", "the graph tells how far a job is")
	b.Follow(`.graph a.done`)
	require.Contains(s, text(b), "read index", "the result of a finished job")
	b.Follow(`a[href="flow?id=flow-runs"]`)
	b.Follow(`button[value=cancel]`)
	require.Contains(s, text(b), "5 of its 9 jobs have finished")
	b.Follow(`main form button`)
	require.Contains(s, text(b), "The flow is being cancelled.")
	require.Eventually(s, func() bool {
		f, err := s.q.Flow(s.Context(), "flow-runs")
		return err == nil && f.State == jobs.Cancelled
	}, patience, tick)
}

func (s *stage) worksOnTenants(b *testenv.Browser) {
	s.Helper()
	b.Follow(`.tabs a[href="tenants"]`)
	b.Follow(`form:has(input[value="initech"]) button[value=pause]`)
	control, err := s.q.Control(s.Context())
	require.NoError(s, err)
	require.Equal(s, []string{"initech"}, control.PausedTenants)
	require.Contains(s, text(b), "paused")
	b.Click(`tr:has(input[value="globex"]) summary`)
	b.Click(`tr:has(input[value="globex"]) input[name=weight]`)
	b.Eval(`document.activeElement.value = ""; ""`)
	b.Type("3")
	b.Follow(`tr:has(input[value="globex"]) button[value=limit]`)
	control, err = s.q.Control(s.Context())
	require.NoError(s, err)
	require.Equal(s, 3, control.Weights["globex"])
	require.Equal(s, jobs.Limit{Running: 2, Rate: 100, Per: time.Minute, Burst: 100}, control.Tenants["globex"], "the limit stays as it was")
}

func (s *stage) looksAtWorkers(b *testenv.Browser) {
	s.Helper()
	b.Open(s.url)
	b.Follow(`a[href="mail/workers"]`)
	for _, word := range []string{"worker-7f6d9c5b8-kx2lp/1", " of 4", "late", "lease ran out", "draining", "schedules only", "unknown"} {
		require.Contains(s, text(b), word)
	}
	b.Open(s.url + "mail/job?id=running-acme")
	require.Contains(s, text(b), "Started")
	b.Follow(`a[href^="workers#"]`)
	require.Contains(s, b.Eval(`document.querySelector("tr:target").textContent`), "worker-7f6d9c5b8-kx2lp/1")
	b.Open(s.url + "mail/job?id=retried")
	require.Contains(s, text(b), "Last 3 errors")
	require.Contains(s, text(b), "connection refused (2)")
}

// staysLive is what JavaScript adds.
func (s *stage) staysLive(b *testenv.Browser) {
	s.Helper()
	b.Open(s.url + "mail/jobs?state=dead&done=delete.2")
	require.Equal(s, "?state=dead", b.Eval(`location.search`), "the notice is not said again after a reload")
	require.Contains(s, text(b), "2 jobs deleted.")
	rows := b.Eval(`document.querySelectorAll("tbody tr").length`)
	b.Click(`#all`)
	require.Equal(s, rows, b.Eval(`document.querySelectorAll("tbody input:checked").length`))
	b.Click(`#all`)
	b.Eval(`document.activeElement.blur(); ""`)
	_, err := s.q.Requeue(s.Context(), "flow-failed~0.11")
	require.NoError(s, err)
	b.Wait(`document.querySelectorAll("tbody tr").length !== ` + rows)
	b.Click(`#live`)
	b.Open(s.url + "mail/")
	require.Equal(s, "false", b.Eval(`document.getElementById("live").getAttribute("aria-pressed")`), "a pause outlives the page")
}
