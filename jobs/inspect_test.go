package jobs_test

import (
	"testing"

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
