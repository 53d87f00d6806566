package analyticstest_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

// fault makes TestStoreConformance run on a store with a planted fault, in a process started for that.
var fault = flag.String("fault", "", "fault of the store under test")

func TestStoreConformance(t *testing.T) {
	t.Parallel()
	analyticstest.Run(t, func(*testing.T) analytics.Store {
		store := analyticstest.NewStore()
		if *fault != "" {
			return &faulty{Store: store, fault: *fault}
		}
		return store
	}, analyticstest.Features{Bubble: true})
}

// faults maps each planted fault to a case that must fail for it.
var faults = map[string]string{
	"token ignored":     "a_batch_is_stored_once_however_often_it_comes",
	"token truncated":   "batches_with_other_tokens_are_other_batches",
	"tenant ignored":    "queries_see_one_tenant,_whatever_its_name",
	"tenant trimmed":    "queries_see_one_tenant,_whatever_its_name",
	"event ignored":     "queries_see_one_kind_of_event,_whatever_its_name",
	"end included":      "the_range_includes_its_start_and_excludes_its_end",
	"buckets in UTC":    "buckets_are_cut_where_the_query_says",
	"filters ignored":   "filters_compare_by_value,_whatever_the_text",
	"limit ignored":     "groups_are_the_texts_of_values,_limited_to_the_largest",
	"price in float32":  "numbers_of_any_size_stay_exact",
	"quantile rounded":  "count,_sum,_avg,_uniques,_quantile",
	"context ignored":   "a_context_that_ended_stops_the_call",
	"half of the batch": "thousands_of_records_fit_a_batch",
}

func TestSuiteNoticesFaults(t *testing.T) {
	t.Parallel()
	for name, want := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoreConformance$", "-fault="+name).CombinedOutput()
			require.Error(t, err, "no case failed")
			require.Contains(t, string(out), "--- FAIL: TestStoreConformance/"+want)
		})
	}
}

// faulty breaks one sentence of the contract.
type faulty struct {
	*analyticstest.Store
	fault string
	n     int
}

func (f *faulty) Insert(ctx context.Context, b analytics.Batch) error {
	switch f.fault {
	case "token ignored":
		f.n++
		b.Token = fmt.Sprint(f.n)
	case "token truncated":
		b.Token = b.Token[:min(len(b.Token), 3)]
	case "tenant trimmed":
		for i := range b.Records {
			b.Records[i].Tenant = strings.TrimSpace(b.Records[i].Tenant)
		}
	case "price in float32":
		for i, r := range b.Records {
			b.Records[i].Props = []byte(strings.Replace(string(r.Props), "1.2345678912345679e+08", "1.23456792e+08", 1))
		}
	case "context ignored":
		ctx = context.WithoutCancel(ctx)
	case "half of the batch":
		b.Records = b.Records[:(len(b.Records)+1)/2]
	}
	return f.Store.Insert(ctx, b)
}

func (f *faulty) Query(ctx context.Context, q analytics.Query) ([]analytics.Row, error) {
	switch f.fault {
	case "tenant ignored":
		q.Tenant = "a"
	case "event ignored":
		q.Event = "Ordered"
	case "end included":
		q.To = q.To.Add(time.Millisecond)
	case "buckets in UTC":
		for i := range q.Buckets {
			q.Buckets[i] = q.Buckets[i].Truncate(24 * time.Hour)
		}
	case "filters ignored":
		q.Where = nil
	case "limit ignored":
		q.Limit = 100
	case "quantile rounded":
		q.Quantile = float64(int(q.Quantile + .5))
	}
	return f.Store.Query(ctx, q)
}
