package redisjobs

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// What the version before stored is read, and goes on in today's form.
func TestEntriesOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	d, err := New(rdb, nil)
	require.NoError(t, err)
	ctx := t.Context()
	beat := func(worker string) driver.Beat { return driver.Beat{Worker: worker, Lease: time.Hour, Join: true} }
	_, err = d.Beat(ctx, beat("w"))
	require.NoError(t, err)
	ids := []string{"dead", "failed", "crashed", "kept", "number"}
	var batch []driver.Job
	for _, id := range ids {
		batch = append(batch, driver.Job{ID: id, Body: []byte("body of " + id)})
	}
	_, err = d.Push(ctx, driver.Push{Jobs: batch})
	require.NoError(t, err)
	seq := uint64(0)
	exchange := func(want int, done ...driver.Outcome) driver.Batch {
		seq++
		b, err := d.Exchange(ctx, driver.Exchange{Worker: "w", Seq: seq, Want: want, Done: done})
		require.NoError(t, err)
		return b
	}
	exchange(len(ids))
	exchange(0, driver.Outcome{ID: "dead", Action: driver.Bury, Error: "x"}, driver.Outcome{ID: "failed", Action: driver.Retry, Error: "x"},
		driver.Outcome{ID: "crashed", Action: driver.Return},
		driver.Outcome{ID: "kept", Action: driver.Finish, Keep: time.Hour}, driver.Outcome{ID: "number", Action: driver.Finish, Keep: time.Hour})
	meta, result := d.key("meta", ""), d.key("result", "")
	require.NoError(t, rdb.HSet(ctx, meta, "dead", "20 1 four words; 1,2,3,4; in it", "failed", "3 0 no", "crashed", "0 1 ").Err())
	require.NoError(t, rdb.HSet(ctx, result, "kept", `1700000000000 {"a":"b + c"}`, "number", "1700000000000 5").Err())

	found, err := d.Find(ctx, ids)
	require.NoError(t, err)
	require.Equal(t, []int{20, 3, 0}, []int{found[0].Attempts, found[1].Attempts, found[2].Attempts})
	require.Equal(t, []driver.Failure{{Attempt: 20, Error: "four words; 1,2,3,4; in it"}}, found[0].Failures)
	require.Equal(t, found[0].Error, found[0].Failures[0].Error)
	require.Equal(t, []driver.Failure{{Attempt: 3, Error: "no"}}, found[1].Failures)
	require.Empty(t, found[2].Failures)
	require.Equal(t, 1, found[2].Crashes)
	for i, want := range map[int]string{3: `{"a":"b + c"}`, 4: "5"} {
		require.Equal(t, want, string(found[i].Result))
		require.Equal(t, time.UnixMilli(1700000000000).UTC(), found[i].At)
		require.Zero(t, found[i].Took)
	}
	matching, _, err := d.Match(ctx, driver.Filter{State: driver.Dead, Error: "1,2,3,4; in"}, "")
	require.NoError(t, err)
	require.Equal(t, []string{"dead"}, matching)

	jobs := exchange(2).Jobs
	slices.SortFunc(jobs, func(a, b driver.Stored) int { return strings.Compare(a.ID, b.ID) })
	require.Equal(t, []int{0, 3}, []int{jobs[0].Attempts, jobs[1].Attempts})
	require.Equal(t, []string{"", "no"}, []string{jobs[0].Error, jobs[1].Error})
	exchange(0, driver.Outcome{ID: "failed", Action: driver.Retry, Error: "again", Took: time.Second}, driver.Outcome{ID: "crashed", Action: driver.Retry, Error: "first"})
	found, err = d.Find(ctx, ids[1:3])
	require.NoError(t, err)
	require.Equal(t, []driver.Failure{{Attempt: 4, At: found[0].Failures[0].At, Took: time.Second, Error: "again"}, {Attempt: 3, Error: "no"}}, found[0].Failures)
	require.WithinDuration(t, time.Now(), found[0].Failures[0].At, time.Minute)
	require.Equal(t, 1, found[1].Crashes)
	require.Len(t, found[1].Failures, 1)

	// Its scripts count on: they take attempts and crashes as they are written.
	now, err := rdb.HGet(ctx, meta, "failed").Result()
	require.NoError(t, err)
	first, rest, _ := strings.Cut(now, " ")
	attempts, err := strconv.Atoi(first)
	require.NoError(t, err)
	require.Equal(t, 4, attempts)
	require.True(t, strings.HasPrefix(rest, "0 "))
}

// Nothing of a worker stays behind, nor of when its jobs began.
func TestWorkersLeaveNothing(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	d, err := New(rdb, nil)
	require.NoError(t, err)
	ctx := t.Context()
	_, err = d.Push(ctx, driver.Push{Jobs: []driver.Job{{ID: "a", Body: []byte("x")}}})
	require.NoError(t, err)
	for _, worker := range []string{"leaves", "dies", "heir"} {
		_, err := d.Beat(ctx, driver.Beat{Worker: worker, Lease: time.Hour, Join: true, About: []byte("x")})
		require.NoError(t, err)
		batch, err := d.Exchange(ctx, driver.Exchange{Worker: worker, Seq: 1, Want: 2})
		require.NoError(t, err)
		require.Len(t, batch.Jobs, 1, worker)
		run := driver.Beat{Worker: worker, Lease: time.Hour, Running: []driver.Run{{ID: "a", For: time.Hour}}}
		switch worker {
		case "leaves":
			_, err = d.Beat(ctx, driver.Beat{Worker: worker})
		case "dies":
			run.Lease = time.Millisecond
			_, err = d.Beat(ctx, run)
		default:
			_, err = d.Beat(ctx, run)
			require.NoError(t, err)
			_, err = d.Exchange(ctx, driver.Exchange{Worker: worker, Seq: 2, Done: []driver.Outcome{{ID: "a", Action: driver.Finish}}})
			require.NoError(t, err)
			_, err = d.Beat(ctx, driver.Beat{Worker: worker})
		}
		require.NoError(t, err)
		if worker == "dies" {
			require.Eventually(t, func() bool {
				list, err := d.Workers(ctx)
				return err == nil && len(list) == 1 && list[0].Left < 0
			}, time.Minute, time.Millisecond)
		}
	}
	keys, err := rdb.Keys(ctx, "*").Result()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{d.key("wake", "")}, keys)
}

// FuzzMeta reads any meta; what lua/part_meta.lua writes comes back.
func FuzzMeta(f *testing.F) {
	for _, text := range []string{"", "2 1 no", "02 1 2,1700000000000,5,2;1,0,0,3; noyes", "00 1  ", "01 0 1,1,1,9; x", "0 1 x", "01 1 ,,,; ", "01 1 -1,1,1,1; x", "00  0;0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s driver.Stored
		setMeta(&s, text)
		for _, failure := range s.Failures {
			require.LessOrEqual(t, len(failure.Error), len(text))
		}
		require.LessOrEqual(t, len(s.Failures), len(text)/8+1)
	})
}

// FuzzWorker reads any note of a worker.
func FuzzWorker(f *testing.F) {
	for _, text := range []string{"", "15000 3 {}", "15000 3 ", "x 3 y", "15000 3", "-1 -1 -1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := readWorker("w", time.Unix(2, 0), time.Unix(1, 0), text)
		require.Equal(t, time.Second, w.Left)
		require.LessOrEqual(t, len(w.About), len(text))
	})
}
