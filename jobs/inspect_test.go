package jobs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

func TestSearch(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		for n := range 25 {
			b.enqueue(Note{N: n}, nil)
		}
		search := func(f jobs.Filter, offset, limit int) (int, int) {
			found, next, err := b.q.Search(b.Context(), f, offset, limit)
			require.NoError(b, err)
			return len(found), next
		}
		for _, kind := range []string{"", "note"} { // without a filter, pages are as long as asked for
			found, next := search(jobs.Filter{State: jobs.Ready, Kind: kind}, 0, 10)
			require.Equal(b, []int{10, 10}, []int{found, next}, kind)
			found, next = search(jobs.Filter{State: jobs.Ready, Kind: kind}, 20, 10)
			require.Equal(b, []int{5, -1}, []int{found, next}, kind)
		}
		found, next := search(jobs.Filter{State: jobs.Ready, Kind: "other"}, 0, 10)
		require.Equal(b, []int{0, -1}, []int{found, next})
		for _, limit := range []int{0, -1} {
			_, _, err := b.q.Search(b.Context(), jobs.Filter{State: jobs.Ready}, 0, limit)
			require.ErrorContains(b, err, "limit")
		}
	})
}

// What is known of a job's times costs it nothing: its id says it, its envelope
// or its flow.
func TestTimesOfAJob(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Mail) error { return jobs.Discard(errors.New("full")) })
		began := time.Now().UTC()
		ids := map[string]string{
			"now":   b.enqueue(Note{}, nil).ID,
			"later": b.enqueue(Note{}, &jobs.EnqueueOptions{Delay: time.Hour}).ID,
			"mine":  b.enqueue(Note{}, &jobs.EnqueueOptions{ID: "mine"}).ID,
			"dead":  b.enqueue(Mail{}, nil).ID,
			"flow":  "f~0.0",
		}
		_, err := b.q.Start(b.Context(), jobs.Flow{ID: "f", Stages: [][]jobs.Item{jobs.Items(Note{})}})
		require.NoError(b, err)
		require.NoError(b, b.q.Pause(b.Context(), jobs.Target{Kind: Note{}.Kind()}))
		b.sleep(time.Minute)
		stop := run(b, b.q)
		b.sleep(time.Second)
		require.NoError(b, stop())
		type times struct{ enqueued, since, at time.Time }
		got := map[string]times{}
		for name, id := range ids {
			found, err := b.q.Find(b.Context(), id)
			require.NoError(b, err)
			require.Len(b, found, 1, name)
			got[name] = times{found[0].Enqueued, found[0].Since, found[0].At}
			listed, err := b.q.List(b.Context(), found[0].State, 0, 10)
			require.NoError(b, err)
			for _, e := range listed {
				if e.Info.ID == id {
					require.Equal(b, found[0].Enqueued, e.Enqueued, name)
				}
			}
		}
		require.Equal(b, began, got["now"].enqueued)
		require.Equal(b, began, got["now"].since)
		require.Equal(b, times{began, began.Add(time.Hour), began.Add(time.Hour)}, got["later"])
		require.Equal(b, time.Time{}, got["mine"].enqueued)
		require.Equal(b, began, got["mine"].since)
		require.Equal(b, times{began, began, began.Add(time.Minute)}, got["dead"])
		require.Equal(b, time.Time{}, got["flow"].enqueued)
		require.Equal(b, began, got["flow"].since)
	})
}
