package jobsui

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

type letter struct{}

func (letter) Kind() string { return "letter" }

// waiting is a dashboard of a queue with n scheduled jobs, and its log.
func waiting(t *testing.T, store driver.Driver, n int) (*dashboard, *bytes.Buffer) {
	t.Helper()
	q, err := jobs.New(store, nil)
	require.NoError(t, err)
	items := make([]jobs.Item, n)
	for i := range items {
		items[i] = jobs.Item{Args: letter{}, Options: &jobs.EnqueueOptions{Delay: time.Hour}}
	}
	_, err = q.EnqueueMany(t.Context(), items)
	require.NoError(t, err)
	log := &bytes.Buffer{}
	h, err := New(map[string]*jobs.Queue{"mail": q}, &Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	return h.(*dashboard), log
}

// page is what a writer of pages wrote; seen is told each part.
type page struct {
	*httptest.ResponseRecorder
	seen func(part string)
}

func (p page) Write(b []byte) (int, error) {
	p.seen(string(b))
	return p.ResponseRecorder.Write(b)
}

func press(ctx context.Context, d *dashboard, form string, seen func(part string)) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, "POST", "/mail/jobs", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	d.ServeHTTP(page{w, seen}, r)
	return w
}

func TestALongPassIsWrittenAsItGoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		fails, leaves bool
		steps         int
		want          []string
	}{
		{"all", false, false, 3, []string{"1\u202f000 of 1\u202f300", "1\u202f300 jobs requeued."}},
		{"the store fails", true, false, 0, []string{"It stopped before the end: the queue's store refused it", "0 jobs requeued."}},
		{"the request ends", false, true, 1, []string{"It stopped before the end: the time that this program gives a request was over.", "500 jobs requeued."}},
	} {
		store := jobstest.New(t)
		d, log := waiting(t, store, 1300)
		d.stepEvery = 0
		if c.fails {
			store.FailNext(jobstest.OpResolve, errors.New("no answer"))
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := press(ctx, d, "action=requeue-all&state=scheduled&sure=1", func(part string) {
			if c.leaves && strings.Contains(part, "<progress") {
				cancel()
			}
		})
		body := w.Body.String()
		require.True(t, w.Flushed, c.name)
		require.Contains(t, body, "<h1>Run now all</h1>", c.name)
		require.Contains(t, body, "1\u202f300 found so far", c.name)
		require.Equal(t, 1, strings.Count(body, "</html>"), c.name)
		require.Equal(t, c.steps, strings.Count(body, "<progress"), c.name)
		for _, text := range c.want {
			require.Contains(t, strings.ReplaceAll(body, "&#39;", "'"), text, c.name)
		}
		require.Equal(t, c.fails || c.leaves, strings.Contains(body, "It stopped"), c.name)
		require.Equal(t, 1, strings.Count(log.String(), "\n"), log)
		require.Equal(t, c.fails || c.leaves, strings.Contains(log.String(), "level=ERROR"), log)
		require.Equal(t, c.fails || c.leaves, strings.Contains(log.String(), "error="), log)
	}
}

// TestAPassThatFailsAtOnceIsLoggedOnce: nothing was written yet, so the page says it with its status, too.
func TestAPassThatFailsAtOnceIsLoggedOnce(t *testing.T) {
	t.Parallel()
	store := jobstest.New(t)
	d, log := waiting(t, store, 1)
	store.FailNext(jobstest.OpResolve, errors.New("no answer"))
	w := press(t.Context(), d, "action=requeue-all&state=scheduled&sure=1", func(string) {})
	require.Equal(t, 502, w.Code)
	require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log)
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log)
}

// stuck answers the first pages of a search, and then no more.
type stuck struct {
	*jobstest.Driver
	answers int
}

func (s *stuck) Match(ctx context.Context, f jobs.Filter, cursor string) (ids []string, next string, err error) {
	if s.answers--; s.answers < 0 {
		<-ctx.Done()
		return nil, "", ctx.Err()
	}
	return s.Driver.Match(ctx, f, cursor)
}

// TestWhatCannotBeCounted: those that are too many are more than were found; a store that says nothing found none.
func TestWhatCannotBeCounted(t *testing.T) {
	t.Parallel()
	for answers, want := range map[int]struct {
		status int
		text   string
	}{
		0: {502, "refused it or did not answer"},
		1: {200, "<h1>Run now more than 500 jobs?</h1>"},
		2: {200, "<h1>Run now 600 jobs?</h1>"},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := waiting(t, &stuck{jobstest.New(t), answers}, 600)
			w := press(t.Context(), d, "action=requeue-all&state=scheduled&kind=letter", func(string) {})
			require.Equal(t, want.status, w.Code, answers)
			require.Contains(t, w.Body.String(), want.text, answers)
		})
	}
}
