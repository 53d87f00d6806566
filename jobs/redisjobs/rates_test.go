package redisjobs_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// What is known of a rate is forgotten when it is over: else it would grow with
// each tenant that ever had a job.
func TestRatesAreForgotten(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	d, ctx := open(t, rdb), t.Context()
	limit := driver.Change{Target: driver.Target{EachTenant: true}, Limit: &driver.Limit{Rate: 50, Burst: 2}}
	require.NoError(t, d.Configure(ctx, []driver.Change{limit}))
	_, err := d.Beat(ctx, driver.Beat{Worker: "w", Lease: time.Minute, Join: true})
	require.NoError(t, err)
	seq := uint64(0)
	exchange := func() driver.Batch {
		seq++
		batch, err := d.Exchange(ctx, driver.Exchange{Worker: "w", Seq: seq, Want: driver.MaxBatch})
		require.NoError(t, err)
		return batch
	}
	rates := func() int64 {
		n, err := rdb.ZCard(ctx, "jobs:{default}:rate").Result()
		require.NoError(t, err)
		return n
	}

	const tenants = 300
	var batch []driver.Job
	for i := range tenants {
		batch = append(batch, driver.Job{ID: "j" + strconv.Itoa(i), Tenant: "t" + strconv.Itoa(i)})
	}
	_, err = d.Push(ctx, driver.Push{Jobs: batch})
	require.NoError(t, err)
	require.Len(t, exchange().Jobs, tenants)
	require.EqualValues(t, tenants, rates(), "one for each that is not over")

	// Five jobs of one tenant: some of them are parked, which is counted beside
	// the rates and must stay.
	batch = nil
	for i := range 5 {
		batch = append(batch, driver.Job{ID: "k" + strconv.Itoa(i), Tenant: "late"})
	}
	_, err = d.Push(ctx, driver.Push{Jobs: batch})
	require.NoError(t, err)
	var order []string
	require.Eventually(t, func() bool {
		for _, j := range exchange().Jobs {
			order = append(order, j.ID)
		}
		return len(order) == len(batch)
	}, time.Minute, 30*time.Millisecond)
	require.Equal(t, []string{"k0", "k1", "k2", "k3", "k4"}, order)
	require.EqualValues(t, 2, rates(), "the tenant that was served last, and the count of the parked jobs")
}
