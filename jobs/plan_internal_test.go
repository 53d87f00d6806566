package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// FuzzStoredSchedule reads what a store may hold, whoever wrote it: a schedule
// is fired or refused, in no long time, and what is readable stays what it is.
func FuzzStoredSchedule(f *testing.F) {
	for _, data := range []string{
		`{"s":"H * * * *","k":"monitor.check","a":{"id":42}}`,
		`{"s":"@every 1s","k":"x","z":"Europe/Berlin","c":2,"g":3600000,"n":true,"j":60000,"p":-1,"m":3}`,
		`{"s":"0 6 1 * *","k":"x","e":"c2VhbGVk","d":1000,"r":1,"u":"key","us":"replace","uw":9223372036854775807}`,
		`{"v":1,"s":"* * * * *","k":"x"}`, `{"k":"x"}`, `null`, `[`, ``,
	} {
		f.Add(" check", []byte(data), int64(1_772_000_000_000))
		f.Add("acme check", []byte(data), int64(-1))
	}
	f.Fuzz(func(t *testing.T, key string, data []byte, tick int64) {
		tick %= 1 << 42 // to the year 2109
		q, now := &Queue{opts: &Options{}}, time.UnixMilli(max(tick, -tick)).UTC()
		due := driver.DueSchedule{Key: key, Data: data, Tick: time.UnixMilli(tick)}
		fired, err := q.dueTick(due, now)
		p, readErr := q.opts.readPlan(key, data)
		if readErr != nil {
			require.Error(t, err)
			return
		}
		encoded, encodeErr := p.encode()
		if encodeErr == nil {
			again, err := q.opts.readPlan(key, encoded)
			require.NoError(t, err)
			require.Equal(t, p.options(), again.options())
			require.Equal(t, [2]string{p.Spec, p.Kind}, [2]string{again.Spec, again.Kind})
		}
		if err != nil {
			return
		}
		require.Equal(t, key, fired.Key)
		require.Equal(t, due.Tick, fired.Tick)
		require.True(t, fired.Next.After(due.Tick), "%v does not go on", fired.Next)
		if fired.Job != nil {
			require.Equal(t, p.Kind, fired.Job.Kind)
			_, err := decode(fired.Job.Body)
			require.NoError(t, err, "its job must be readable")
			tenant, _, _ := splitScheduleKey(key)
			require.Equal(t, tenant, fired.Job.Tenant)
			require.Equal(t, tickID(key, fired.Last), fired.Job.ID)
		}
	})
}

// For ever, as some write it, is a long time and not a negative one.
func TestMillisecondsDoNotOverflow(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 9_223_372_036_854, ceilMillis(1<<63-1))
	require.Positive(t, time.Duration(ceilMillis(1<<63-1))*time.Millisecond)
	require.EqualValues(t, 1, ceilMillis(1))
	require.EqualValues(t, 1, ceilMillis(time.Millisecond))
	require.Zero(t, ceilMillis(0))
}
