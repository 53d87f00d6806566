package jobsui

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

type letter struct{}

func (letter) Kind() string { return "letter" }

func TestALongPassIsWrittenAsItGoes(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		store := jobstest.New(t)
		q, err := jobs.New(store, nil)
		require.NoError(t, err)
		items := make([]jobs.Item, 1300)
		for i := range items {
			items[i] = jobs.Item{Args: letter{}, Options: &jobs.EnqueueOptions{Delay: time.Hour}}
		}
		_, err = q.EnqueueMany(t.Context(), items)
		require.NoError(t, err)
		h, err := New(map[string]*jobs.Queue{"mail": q}, &Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		h.(*dashboard).stepEvery = 0
		if fails {
			store.FailNext(jobstest.OpResolve, errors.New("no answer"))
		}
		r := httptest.NewRequest("POST", "/mail/jobs", strings.NewReader("action=requeue-all&state=scheduled&sure=1"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		page := w.Body.String()
		require.True(t, w.Flushed)
		require.Contains(t, page, "<h1>Run now all</h1>")
		require.Contains(t, page, "1\u202f300 found so far")
		require.Equal(t, 1, strings.Count(page, "</html>"))
		if fails {
			require.Contains(t, page, "It stopped before the end")
			require.Contains(t, page, "0 jobs requeued.")
			require.NotContains(t, page, "<progress")
			continue
		}
		require.Equal(t, 3, strings.Count(page, "<progress"))
		require.Contains(t, page, "1\u202f000 of 1\u202f300")
		require.Contains(t, page, "1\u202f300 jobs requeued.")
	}
}
