package jobsui_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

type mail struct {
	To     string `json:"to"`
	Recipe string `json:"recipe,omitempty"` // see newStage
}

func (mail) Kind() string { return "mail.send" }

// site is a dashboard below /ops, with a queue in Redis that has one dead, one
// scheduled and two ready jobs.
type site struct {
	*testing.T
	d      *redisjobs.Driver
	q      *jobs.Queue
	h      http.Handler
	finish func() // lets the running handler return
}

func newSite(t *testing.T, opts *jobsui.Options) *site {
	d, err := redisjobs.New(testenv.Redis(t), nil)
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	q, err := jobs.New(d, &jobs.Options{MaxAttempts: 1, Logger: quiet})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	jobs.Handle(q, func(context.Context, mail) error {
		defer cancel()
		return errors.New("no such <mailbox>")
	})
	_, err = q.Enqueue(t.Context(), mail{To: "<ann>"}, &jobs.EnqueueOptions{ID: "dead"})
	require.NoError(t, err)
	require.NoError(t, q.Run(ctx))
	for id, delay := range map[string]time.Duration{"ready1": 0, "ready2": 0, "later": time.Hour} {
		_, err = q.Enqueue(t.Context(), mail{To: id}, &jobs.EnqueueOptions{ID: id, Delay: delay})
		require.NoError(t, err)
	}
	if opts == nil {
		opts = &jobsui.Options{}
	}
	opts.Logger = quiet
	ui, err := jobsui.New(map[string]*jobs.Queue{"mail": q}, opts)
	require.NoError(t, err)
	return &site{T: t, d: d, q: q, h: http.StripPrefix("/ops", ui)}
}

func (s *site) do(r *http.Request) (int, string, http.Header) {
	s.Helper()
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	require.NoError(s, err)
	return w.Code, string(body), w.Header()
}

func (s *site) get(path string) string {
	s.Helper()
	code, body, _ := s.do(httptest.NewRequest("GET", "/ops"+path, nil))
	require.Equal(s, http.StatusOK, code, body)
	return body
}

func (s *site) post(path string, form url.Values) (int, string, http.Header) {
	s.Helper()
	r := httptest.NewRequest("POST", "/ops"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(r)
}

func (s *site) stats(want jobs.Stats) {
	s.Helper()
	got, err := s.q.Stats(s.Context())
	require.NoError(s, err)
	require.Equal(s, want, got)
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	require.Contains(t, s.get("/"), `href="mail/"`)
	require.Contains(t, s.get("/mail/"), "Pause the queue")
	list := s.get("/mail/jobs?state=dead")
	require.Contains(t, list, "no such &lt;mailbox&gt;", "what handlers say is text, not markup")
	require.Contains(t, list, `value="dead" aria-label="Select dead"`)
	require.Contains(t, s.get("/mail/jobs?state=ready&kind=other"), "No job matches")
	require.Contains(t, s.get("/mail/jobs?state=nonsense"), "dead", "an unknown state shows what needs a person")
	job := s.get("/mail/job?id=dead")
	require.Contains(t, job, "\\u003cann\\u003e")
	require.Contains(t, job, "1 of 1")
	require.Contains(t, s.get("/mail/tenants"), "Tenants")
	require.Contains(t, s.get("/style.css"), "--accent")

	for path, want := range map[string]int{"/mail/job?id=none": 404, "/other/": 404, "/mail/none": 404} {
		code, _, _ := s.do(httptest.NewRequest("GET", "/ops"+path, nil))
		require.Equal(t, want, code, path)
	}
	code, _, header := s.do(httptest.NewRequest("GET", "/ops", nil))
	require.Equal(t, http.StatusPermanentRedirect, code)
	require.Equal(t, "/ops/", header.Get("Location"))
	_, _, header = s.do(httptest.NewRequest("GET", "/ops/mail/jobs?find=a%2Fb", nil))
	require.Equal(t, "job?id=a%2Fb", header.Get("Location"))
	_, _, header = s.do(httptest.NewRequest("GET", "/ops/", nil))
	require.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
}

func TestChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	code, _, header := s.post("/mail/jobs", url.Values{"action": {"requeue"}, "state": {"dead"}, "id": {"dead", "none"}})
	require.Equal(t, http.StatusSeeOther, code)
	require.Equal(t, "jobs?state=dead&done=requeue.1", header.Get("Location"))
	s.stats(jobs.Stats{Ready: 3, Scheduled: 1})
	require.Contains(t, s.get("/mail/jobs?state=dead&done=requeue.1"), "1 job requeued.")
	require.NotContains(t, s.get("/mail/jobs?done=%3Cscript%3Ealert.1"), "<script>alert")

	all := url.Values{"action": {"cancel-all"}, "state": {"ready"}}
	code, body, _ := s.post("/mail/jobs", all)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "Cancel 3 jobs")
	require.Contains(t, body, "They are all jobs that are ready.")
	s.stats(jobs.Stats{Ready: 3, Scheduled: 1})
	all.Set("sure", "1")
	for field, value := range map[string]string{"error": "no such <mail", "tenant": "acme", "kind": "other"} {
		narrow := maps.Clone(all)
		narrow.Set(field, value)
		_, _, header = s.post("/mail/jobs", narrow)
		require.Contains(t, header.Get("Location"), "done=cancel.0.0", field)
	}
	s.stats(jobs.Stats{Ready: 3, Scheduled: 1})
	code, _, header = s.post("/mail/jobs", all)
	require.Equal(t, http.StatusSeeOther, code)
	require.Equal(t, "jobs?state=ready&done=cancel.3.0", header.Get("Location"))
	s.stats(jobs.Stats{Scheduled: 1})
	require.Contains(t, s.get("/mail/jobs?done=cancel.3.2"), "3 jobs cancelled. 2 jobs had gone on before.")
	delete(all, "sure")
	_, _, header = s.post("/mail/jobs", all)
	require.Equal(t, "jobs?state=ready&done=cancel.0", header.Get("Location"), "nothing is left to be asked about")
	code, _, _ = s.post("/mail/jobs", url.Values{"action": {"requeue-all"}, "state": {"ready"}, "sure": {"1"}})
	require.Equal(t, http.StatusBadRequest, code, "ready jobs are not requeued")

	code, _, _ = s.post("/mail/control", url.Values{"action": {"pause"}, "queue": {"1"}})
	require.Equal(t, http.StatusSeeOther, code)
	require.Contains(t, s.get("/mail/"), "Resume the queue")
	code, _, _ = s.post("/mail/control", url.Values{"action": {"limit"}, "each": {"1"}, "running": {"4"}, "rate": {"90"}, "per": {"1m0s"}})
	require.Equal(t, http.StatusSeeOther, code)
	control, err := s.q.Control(t.Context())
	require.NoError(t, err)
	require.True(t, control.Paused)
	require.Equal(t, 4, control.EachTenant.Running)
	require.Equal(t, time.Minute, control.EachTenant.Per)

	for _, form := range []url.Values{
		{"action": {"explode"}, "queue": {"1"}}, {"action": {"limit"}, "queue": {"1"}, "running": {"-1"}},
		{"action": {"limit"}, "queue": {"1"}, "rate": {"many"}}, {"action": {"pause"}}, {"action": {"pause"}, "tenant": {""}, "kind": {" "}},
	} {
		code, _, _ = s.post("/mail/control", form)
		require.Equal(t, http.StatusBadRequest, code, form)
	}
	code, _, _ = s.post("/mail/jobs", url.Values{"action": {"explode"}, "id": {"later"}})
	require.Equal(t, http.StatusBadRequest, code)
	s.stats(jobs.Stats{Scheduled: 1})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t, &jobsui.Options{Allow: func(_ *http.Request, action string) bool { return action != "delete" }})
	r := httptest.NewRequest("POST", "/ops/mail/jobs", strings.NewReader("action=requeue&id=dead"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	code, _, _ := s.do(r)
	require.Equal(t, http.StatusForbidden, code, "a form of another site")
	code, _, _ = s.post("/mail/jobs", url.Values{"action": {"delete"}, "id": {"dead"}})
	require.Equal(t, http.StatusForbidden, code)
	code, _, _ = s.post("/mail/jobs", url.Values{"action": {"delete-all"}, "state": {"dead"}, "sure": {"1"}})
	require.Equal(t, http.StatusForbidden, code)
	require.NotContains(t, s.get("/mail/jobs?state=dead"), "Delete")
	s.stats(jobs.Stats{Ready: 2, Scheduled: 1, Dead: 1})

	s = newSite(t, &jobsui.Options{ReadOnly: true, Redact: func(string, []byte) []byte { return nil }})
	require.NotContains(t, s.get("/mail/jobs?state=dead"), `name="action"`)
	require.NotContains(t, s.get("/mail/"), `method="post"`)
	require.Contains(t, s.get("/mail/job?id=dead"), "Hidden or sealed by this program")
	require.NoError(t, s.q.Schedule(t.Context(), "daily", "@daily", mail{To: "all"}, nil))
	_, err := s.q.Start(t.Context(), jobs.Flow{ID: "f", Stages: [][]jobs.Item{jobs.Items(mail{To: "one"}), jobs.Items(mail{To: "two"})}})
	require.NoError(t, err)
	for path, shown := range map[string]string{
		"/mail/schedules": "Every day at 00:00", "/mail/flow?id=f": "Stage 2", "/mail/flows": "flow?id=f", "/mail/tenants": "no tenant",
	} {
		page := s.get(path)
		require.Contains(t, page, shown)
		require.NotContains(t, page, `method="post"`, path)
	}
	code, _, _ = s.post("/mail/schedules", url.Values{"action": {"run"}, "id": {" daily"}})
	require.Equal(t, http.StatusForbidden, code)
	for path, form := range map[string]url.Values{
		"/mail/control":   {"action": {"pause"}, "queue": {"1"}},
		"/mail/schedules": {"action": {"unschedule"}, "id": {" daily"}, "sure": {"1"}},
		"/mail/flow":      {"action": {"cancel"}, "id": {"f"}, "sure": {"1"}},
		"/mail/jobs":      {"action": {"cancel"}, "id": {"ready1"}},
	} {
		code, _, _ = s.post(path, form)
		require.Equal(t, http.StatusForbidden, code, path)
	}
	s.stats(jobs.Stats{Ready: 3, Scheduled: 1, Dead: 1})
	page, _, err := s.q.Schedules(t.Context(), "", 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
}

func TestUnscheduleAsksFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t, &jobsui.Options{Allow: func(_ *http.Request, action string) bool { return action == "unschedule" }})
	for _, name := range []string{"daily", "weekly"} {
		require.NoError(t, s.q.Schedule(t.Context(), name, "@"+name, mail{To: "<all>"}, nil))
	}
	form := url.Values{"action": {"unschedule"}, "id": {" daily"}, "name": {"<b>daily"}, "text": {"a"}}
	code, body, _ := s.post("/mail/schedules", form)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "Unschedule &lt;b&gt;daily?")
	require.Contains(t, body, `name="id" value=" daily"`)
	list := s.get("/mail/schedules")
	require.Equal(t, 2, strings.Count(list, `value="unschedule"`), "and nothing is removed")
	require.NotContains(t, list, `value="pause"`)

	form.Set("sure", "1")
	for _, done := range []string{"unschedule", "gone"} {
		code, _, header := s.post("/mail/schedules", form)
		require.Equal(t, http.StatusSeeOther, code)
		require.Equal(t, "schedules?text=a&done="+done, header.Get("Location"))
	}
	require.Equal(t, 1, strings.Count(s.get("/mail/schedules"), `value="unschedule"`))

}

func TestAScheduleThatLeftTheCodeIsRemoved(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for name, seen := range map[string]time.Duration{"lives": time.Hour, "left": 3 * time.Hour} {
		data := fmt.Appendf(nil, `{"s":"@daily","k":"mail.send","t":%d}`, time.Now().Add(-seen).Unix())
		_, err := s.d.PutSchedule(t.Context(), driver.PutSchedule{Key: name, Data: data})
		require.NoError(t, err)
	}
	require.Equal(t, 1, strings.Count(s.get("/mail/schedules"), `value="unschedule"`), "not offered for what a process has")
	form := url.Values{"action": {"unschedule"}, "id": {"left"}, "name": {"left"}}
	_, body, _ := s.post("/mail/schedules", form)
	require.Contains(t, body, "no process has run it for two hours")
	form.Set("sure", "1")
	_, _, header := s.post("/mail/schedules", form)
	require.Contains(t, s.get("/mail/"+header.Get("Location")), "The schedule is removed.")
	form.Set("id", "lives")
	_, _, header = s.post("/mail/schedules", form)
	list := s.get("/mail/" + header.Get("Location"))
	require.Contains(t, list, "a process that runs has it")
	require.Contains(t, list, ">lives<")
	require.NotContains(t, list, ">left<")
}

func TestWhatIsGoneOrCannotBe(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	code, _, header := s.post("/mail/schedules", url.Values{"action": {"run"}, "id": {"none"}})
	require.Equal(t, http.StatusSeeOther, code)
	require.Contains(t, s.get("/mail/"+header.Get("Location")), "no such schedule any more")
	_, _, header = s.post("/mail/flow", url.Values{"action": {"cancel"}, "id": {"none"}, "sure": {"1"}})
	code, body, _ := s.do(httptest.NewRequest("GET", "/ops/mail/"+header.Get("Location"), nil))
	require.Equal(t, http.StatusNotFound, code)
	require.Contains(t, body, "This flow does not exist")
	for _, query := range []string{"?cursor=nonsense", "?text=%00"} {
		s.do(httptest.NewRequest("GET", "/ops/mail/schedules"+query, nil)) // whatever it answers, it does not panic
	}

	q, err := jobs.New(plain{jobstest.New(t)}, nil)
	require.NoError(t, err)
	ui, err := jobsui.New(map[string]*jobs.Queue{"mail": q}, &jobsui.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	s = &site{T: t, q: q, h: http.StripPrefix("/ops", ui)}
	require.Contains(t, s.get("/mail/"), "Throughput")
	for _, path := range []string{"/mail/schedules", "/mail/flows", "/mail/flow?id=f", "/mail/tenants"} {
		code, body, _ := s.do(httptest.NewRequest("GET", "/ops"+path, nil))
		require.Equal(t, http.StatusNotImplemented, code, path)
		require.Contains(t, body, "This queue has no such thing")
	}
}

// plain hides all that a driver may offer beyond what it must.
type plain struct{ driver.Driver }

// newRunning is a site whose only job runs and has told its progress.
func newRunning(t *testing.T, opts *jobs.Options) *site {
	opts.Logger = slog.New(slog.DiscardHandler)
	q, err := jobs.New(jobstest.New(t), opts)
	require.NoError(t, err)
	release := make(chan struct{})
	jobs.HandleResult(q, func(ctx context.Context, _ mail) (string, error) {
		jobs.Progress(ctx, 30, 120, "page <3>")
		<-release
		return "delivered", nil
	})
	_, err = q.Enqueue(t.Context(), mail{To: "ann@example.com"}, &jobs.EnqueueOptions{ID: "one", Keep: time.Hour})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	ui, err := jobsui.New(map[string]*jobs.Queue{"mail": q}, nil)
	require.NoError(t, err)
	s := &site{T: t, q: q, h: http.StripPrefix("/ops", ui), finish: sync.OnceFunc(func() { close(release) })}
	t.Cleanup(func() {
		s.finish()
		cancel()
		require.NoError(t, <-ended)
	})
	return s
}

func (s *site) eventually(path, want string) string {
	s.Helper()
	var body string
	require.Eventually(s, func() bool {
		body = s.get(path)
		return strings.Contains(body, want)
	}, time.Minute, 10*time.Millisecond, want)
	return body
}

func TestARunningJobShowsItsProgress(t *testing.T) {
	t.Parallel()
	s := newRunning(t, &jobs.Options{})
	list := s.eventually("/mail/jobs?state=running", `<progress max="120" value="30"`)
	require.Contains(t, list, "30 of 120")
	require.Contains(t, list, "page &lt;3&gt;")
	page := s.get("/mail/job?id=one")
	require.Contains(t, page, `<progress max="120" value="30"`)
	require.Contains(t, page, "ann@example.com")
	s.finish()
	require.Contains(t, s.eventually("/mail/job?id=one", "Result"), "&#34;delivered&#34;")
}

func TestWhatIsSealedStaysSealed(t *testing.T) {
	t.Parallel()
	ring, err := jobs.NewKeyring("k1", map[string][]byte{"k1": make([]byte, 32)})
	require.NoError(t, err)
	s := newRunning(t, &jobs.Options{Codec: ring})
	page := s.eventually("/mail/job?id=one", "Worker")
	require.Contains(t, page, "Hidden or sealed by this program")
	require.NotContains(t, page, "ann@example.com")
	s.finish()
	page = s.eventually("/mail/job?id=one", "Result")
	require.Equal(t, 2, strings.Count(page, "Hidden or sealed by this program"))
	require.NotContains(t, page, "delivered")
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	q, err := jobs.New(jobstest.New(t), nil)
	require.NoError(t, err)
	for _, queues := range []map[string]*jobs.Queue{nil, {"": q}, {"a/b": q}, {"..": q}, {"a": nil}} {
		_, err := jobsui.New(queues, nil)
		require.Error(t, err)
	}
}
