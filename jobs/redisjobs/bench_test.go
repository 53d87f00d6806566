package redisjobs_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// The scripts alone, by batch: what a job costs the server's thread and the
// client.

func BenchmarkPush(b *testing.B) {
	for _, batch := range []int{1, 16, 64, 256} {
		b.Run(strconv.Itoa(batch), func(b *testing.B) {
			server := testenv.RedisServer(b, "--appendonly", "no")
			d, err := redisjobs.New(server.Client(), nil)
			require.NoError(b, err)
			list := bulk(batch)
			busy := mainThread(b, server.Client())
			n := 0
			for b.Loop() {
				for i := range list {
					list[i].ID = fmt.Sprintf("01KB7C%020d", n)
					n++
				}
				_, err := d.Push(b.Context(), driver.Push{Jobs: list})
				require.NoError(b, err)
			}
			report(b, n, mainThread(b, server.Client())-busy)
		})
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, batch := range []int{1, 16, 64, 256} {
		b.Run(strconv.Itoa(batch), func(b *testing.B) { exchanges(b, batch, 0) })
	}
	b.Run("256 of twenty tenants", func(b *testing.B) { exchanges(b, 256, 20) })
}

// exchanges takes and finishes jobs, of so many tenants.
func exchanges(b *testing.B, batch, tenants int) {
	server := testenv.RedisServer(b, "--appendonly", "no")
	rdb := server.Client()
	d, err := redisjobs.New(rdb, nil)
	require.NoError(b, err)
	_, err = d.Beat(b.Context(), driver.Beat{Worker: "w", Lease: time.Hour, Join: true})
	require.NoError(b, err)
	list, serial := bulk(driver.MaxBatch), 0
	fill := func() {
		for range 40 {
			for i := range list {
				list[i].ID = fmt.Sprintf("01KB7C%020d", serial)
				if tenants > 0 {
					list[i].Tenant = fmt.Sprint("tenant", serial%tenants)
				}
				serial++
			}
			_, err := d.Push(b.Context(), driver.Push{Jobs: list})
			require.NoError(b, err)
		}
	}
	each := 0
	if tenants > 0 {
		each = batch / 2
	}
	var busy time.Duration
	var done []driver.Outcome
	n, left, began := 0, 0, time.Duration(0)
	for seq := uint64(1); b.Loop(); seq++ {
		if left < batch {
			b.StopTimer()
			if began > 0 {
				busy += mainThread(b, rdb) - began
			}
			fill()
			began = mainThread(b, rdb)
			b.StartTimer()
		}
		got, err := d.Exchange(b.Context(), driver.Exchange{Worker: "w", Seq: seq, Done: done, Want: batch, Each: each})
		require.NoError(b, err)
		left = got.Ready
		n += len(got.Jobs)
		done = done[:0]
		for i := range got.Jobs {
			done = append(done, driver.Outcome{ID: got.Jobs[i].ID, Action: driver.Finish})
		}
	}
	report(b, n, busy+mainThread(b, rdb)-began)
}

func bulk(n int) []driver.Job {
	list := make([]driver.Job, n)
	for i := range list {
		list[i].Body = append([]byte(`{"v":1,"kind":"bench","args":`), bytes.Repeat([]byte("x"), 200)...)
		list[i].Body = append(list[i].Body, '}')
	}
	return list
}

func report(b *testing.B, n int, busy time.Duration) {
	b.ReportMetric(float64(busy.Microseconds())/float64(n), "redis-µs/job")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/job")
}

// mainThread is the processor time of the server's one thread so far.
func mainThread(t testing.TB, rdb *redis.Client) time.Duration {
	info, err := rdb.Info(t.Context(), "cpu").Result()
	require.NoError(t, err)
	var total time.Duration
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user_main_thread" || name == "used_cpu_sys_main_thread" {
			seconds, err := strconv.ParseFloat(value, 64)
			require.NoError(t, err)
			total += time.Duration(seconds * float64(time.Second))
		}
	}
	return total
}
