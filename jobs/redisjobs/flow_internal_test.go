package redisjobs

import (
	"encoding/json"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Whatever is stored under a flow's id, reading it is an error or a flow, and
// what was read once is written and read again as the same.
func FuzzFlowHeader(f *testing.F) {
	for _, text := range []string{
		// As StartFlow writes it, and as cjson does.
		`{"n":"nightly","t":"acme","p":"","k":86400000,"s":"waiting","g":0,"c":[[2,0,0],[1,0,0]],"w":0,"r":0,"b":0}`,
		`{"a":1780293600123,"s":"failed","c":[[2,1,1],[1,0,0]],"z":1780293600999,"b":4,"i":"f~0.1","m":"no \"such\" \/ \u0000 \u007f host","k":86400000,"t":"","n":"","g":0,"p":"wait","w":3,"r":2,"u":1,"v":2,"e":"failed"}`,
		`{}`, `{"c":{}}`, `{"c":[[1,2,3,4],[],[-1]]}`, `{"k":1e+15}`, `{"k":9223372036854775807,"a":-9223372036854775808}`, `{"g":1.5}`,
		`{"n":"` + "\xff" + `"}`, `null`, `[]`, ``, `{"n":"\ud800"}`, `{"N":"a","n":"b"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var h flowHeader
		if json.Unmarshal(text, &h) != nil {
			return
		}
		read := h.flow("f")
		require.Len(t, read.Stages, len(h.Counts))
		again, err := json.Marshal(h)
		require.NoError(t, err)
		var h2 flowHeader
		require.NoError(t, json.Unmarshal(again, &h2))
		require.Equal(t, read, h2.flow("f"))
	})
}

// A header goes from Go to Lua, where each end of a job writes it anew, and
// back: nothing of it changes on the way.
func FuzzFlowHeaderInRedis(f *testing.F) {
	for _, text := range []string{"nightly", "", `"\/<>&`, "\x00\x1f\x7f\u2028 ä 日 🙂", "\xff\xc0", `{"a":[]}`, "1e999", "\\u0000"} {
		f.Add(text, "acme", text, int64(time.Hour), uint8(3))
		f.Add("", text, "", int64(1<<63-1), uint8(1))
	}
	d, err := New(testenv.Redis(f), nil)
	require.NoError(f, err)
	var flows atomic.Int64
	f.Fuzz(func(t *testing.T, name, tenant, cause string, keep int64, size uint8) {
		valid := utf8.ValidString(name) && utf8.ValidString(tenant) && utf8.ValidString(cause)
		if checkTenant(&driver.Job{Tenant: tenant}) != nil || !valid || keep < 0 || size == 0 {
			return // package jobs refuses them, or makes them valid
		}
		ctx, id, worker := t.Context(), fmt.Sprint("f", flows.Add(1)), fmt.Sprint("w", flows.Load())
		part := driver.FlowPart{ID: id, Name: name, Tenant: tenant, Policy: driver.WaitAll, Keep: time.Duration(keep), Sizes: []int{int(size), 1}}
		for i := range int(size) + 1 {
			job := driver.Job{ID: driver.FlowJobID(id, min(i/int(size), 1), i%int(size)), Tenant: tenant, Kind: "k", Body: []byte("{}")}
			part.Jobs = append(part.Jobs, job)
		}
		_, err := d.StartFlow(ctx, part)
		require.NoError(t, err)
		want := driver.Flow{
			ID: id, Name: name, Tenant: tenant, Policy: driver.WaitAll, State: driver.Running,
			Keep:   part.Keep.Truncate(time.Millisecond),
			Stages: []driver.FlowStage{{Total: int(size)}, {Total: 1}},
		}
		if want.Keep < min(part.Keep, math.MaxInt64-time.Millisecond) { // rounded up
			want.Keep += time.Millisecond
		}
		check := func() {
			t.Helper()
			got, err := d.Flow(ctx, id)
			require.NoError(t, err)
			require.Equal(t, want.Ended.IsZero(), got.Ended.IsZero())
			got.Started, got.Ended, want.Ended = time.Time{}, time.Time{}, time.Time{}
			require.Equal(t, want, got)
		}
		check()

		_, err = d.Beat(ctx, driver.Beat{Worker: worker, Lease: time.Hour, Join: true})
		require.NoError(t, err)
		batch, err := d.Exchange(ctx, driver.Exchange{Worker: worker, Seq: 1, Want: int(size)})
		require.NoError(t, err)
		require.Len(t, batch.Jobs, int(size))
		var done []driver.Outcome
		for i, j := range batch.Jobs {
			o := driver.Outcome{ID: j.ID, Action: driver.Finish, Result: []byte(cause), Keep: time.Hour}
			if i == 0 {
				o = driver.Outcome{ID: j.ID, Action: driver.Bury, Error: cause}
				want.Culprit, want.Error = j.ID, cause
			}
			done = append(done, o)
		}
		_, err = d.Exchange(ctx, driver.Exchange{Worker: worker, Seq: 2, Done: done})
		require.NoError(t, err)
		want.State, want.Ended, want.Stages[0].Done, want.Stages[0].Failed = driver.Failed, time.Now(), int(size)-1, 1
		check()
		_, err = d.Resolve(ctx, []string{batch.Jobs[0].ID}, driver.Delete)
		require.NoError(t, err)
	})
}
