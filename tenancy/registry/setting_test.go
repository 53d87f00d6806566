package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

type branding struct {
	Color string `json:"color"`
	Size  int    `json:"size"`
}

var brand = registry.Setting[branding]{
	Name: "brand", Default: branding{"grey", 1}, Plans: map[string]branding{"pro": {"blue", 2}},
	Check: func(b branding) error {
		if b.Size < 0 {
			return errors.New("size is negative")
		}
		return nil
	},
}

func (f fixture) config(t registry.Tenant) *registry.Config {
	f.Helper()
	c, err := f.reg.Config(f.as(t, ""))
	require.NoError(f, err)
	return c
}

// TestSettingsKeepEveryInteger: two numbers that are one float64 are two settings, and one number in two spellings is one.
func TestSettingsKeepEveryInteger(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		ann := f.as(acme, "ann")
		channel := registry.Setting[[]int64]{Name: "channel"}
		for _, id := range []int64{1 << 53, 1<<53 + 1, 1<<53 + 1} {
			require.NoError(f, channel.Set(ann, f.reg, []int64{id}))
			v, err := channel.Get(f.config(acme))
			require.NoError(f, err)
			require.Equal(f, []int64{id}, v)
		}
		huge := registry.Setting[float64]{Name: "huge"}
		for range 2 {
			require.NoError(f, huge.Set(ann, f.reg, 1e21))
		}
		log, err := f.reg.AuditLog(ann, registry.AuditQuery{})
		require.NoError(f, err)
		require.Len(f, log, 4, "of the tenant, twice of the channel, once of what is huge")
		require.JSONEq(f, `[9007199254740993]`, string(log[1].Changes["value"].New))
	})
}

// TestSettingsThatNoDatabaseStores: what is JSON and cannot be jsonb is malformed, what only looks so is not.
func TestSettingsThatNoDatabaseStores(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		any := registry.Setting[json.RawMessage]{Name: "any"}
		for _, bad := range []string{`"\u0000"`, `{"\u0000":1}`, `"\ud800"`, `["\uDC00x"]`, `1e400000`, `1e-400000`, `1e99999999999999999999`} {
			require.ErrorIs(f, any.Set(f.as(acme, "ann"), f.reg, json.RawMessage(bad)), registry.ErrMalformed, bad)
		}
		for _, good := range []string{`"\\u0000"`, `"\ud83d\ude00"`, `"\ufffd"`, `1e300`, `1e-300`, `{"a":[null,true,12345678901234567890]}`} {
			require.NoError(f, any.Set(f.as(acme, "ann"), f.reg, json.RawMessage(good)), good)
		}
	})
}

func TestSettings(t *testing.T) {
	both(t, func(f fixture) {
		acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "bob")
		ann := f.as(acme, "ann")
		value := func(t registry.Tenant) branding {
			f.Helper()
			v, err := brand.Get(f.config(t))
			require.NoError(f, err)
			return v
		}
		require.Equal(f, branding{"grey", 1}, value(acme), "the default")
		_, err := f.reg.Update(ann, func(t *registry.Tenant) error { t.Plan = "pro"; return nil })
		require.NoError(f, err)
		require.Equal(f, branding{"blue", 2}, value(acme), "the plan's")
		whole, err := f.reg.Get(ann)
		require.NoError(f, err)
		require.Equal(f, whole, f.config(acme).Tenant)
		require.NoError(f, brand.Set(ann, f.reg, branding{"red", 3}))
		require.NoError(f, brand.Set(ann, f.reg, branding{"red", 3}))
		require.Equal(f, branding{"red", 3}, value(acme), "the tenant's own")
		require.Equal(f, branding{"grey", 1}, value(globex))
		require.Error(f, brand.Set(ann, f.reg, branding{"red", -1}))
		require.NoError(f, brand.Set(ann, f.reg, branding{"red", 4}))
		require.NoError(f, brand.Unset(ann, f.reg))
		require.NoError(f, brand.Unset(ann, f.reg))
		require.Equal(f, branding{"blue", 2}, value(acme))
		require.Equal(f, []string{"ann setting.changed setting/brand", "ann setting.changed setting/brand", "ann setting.changed setting/brand"},
			f.audited(acme)[2:])
		require.ErrorIs(f, brand.Set(f.as(registry.Tenant{ID: "nobody"}, ""), f.reg, branding{}), registry.ErrUnknownTenant)
		_, err = f.reg.Config(f.as(registry.Tenant{ID: "nobody"}, ""))
		require.ErrorIs(f, err, registry.ErrUnknownTenant)

		hidden := registry.Setting[string]{Name: "token", Hidden: true}
		require.NoError(f, hidden.Set(ann, f.reg, "s3cret"))
		require.NoError(f, hidden.Set(ann, f.reg, "other s3cret"))
		require.NoError(f, hidden.Unset(ann, f.reg))
		log, err := f.reg.AuditLog(ann, registry.AuditQuery{Subject: "setting/token"})
		require.NoError(f, err)
		require.Len(f, log, 3)
		text, err := json.Marshal(log)
		require.NoError(f, err)
		require.NotContains(f, string(text), "s3cret")

		// A program that changes the type of a setting hears of it.
		require.NoError(f, registry.Setting[string]{Name: "brand"}.Set(ann, f.reg, "text"))
		_, err = brand.Get(f.config(acme))
		require.ErrorContains(f, err, "brand")
	})
}

func TestFlags(t *testing.T) {
	both(t, func(f fixture) {
		acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "bob")
		ann := f.as(acme, "ann")
		flag := registry.Flag{Name: "new-ui"}
		on := func(t registry.Tenant) bool { return flag.On(f.config(t), "") }
		require.False(f, on(acme))
		require.NoError(f, flag.Set(ann, f.reg, 100))
		require.True(f, on(acme))
		require.True(f, flag.On(f.config(acme), "ann"))
		require.False(f, on(globex))
		everybody := registry.Flag{Name: "new-ui", Percent: 100}
		require.True(f, everybody.On(f.config(globex), "x"))
		require.NoError(f, flag.Set(ann, f.reg, 0))
		require.False(f, everybody.On(f.config(acme), "x"), "off for this tenant")
		require.NoError(f, flag.Unset(ann, f.reg))
		require.True(f, everybody.On(f.config(acme), "x"))
		require.ErrorIs(f, flag.Set(ann, f.reg, math.NaN()), registry.ErrMalformed)
		// A flag is no setting of the same name.
		v, err := registry.Setting[string]{Name: "new-ui", Default: "d"}.Get(f.config(acme))
		require.NoError(f, err)
		require.Equal(f, "d", v)
		require.Len(f, f.audited(acme), 4)
	})
}

// TestRolloutIsStable: who has a feature keeps it while the percentage grows, the share is what was asked for, flags are
// independent, and the hash does not change from release to release.
func TestRolloutIsStable(t *testing.T) {
	t.Parallel()
	const units = 20_000
	c := &registry.Config{Tenant: registry.Tenant{ID: "acme"}}
	had := make([]bool, units)
	for _, percent := range []float64{0, 0.5, 10, 50, 99, 100} {
		n := 0
		for i := range units {
			on := registry.Flag{Name: "f", Percent: percent}.On(c, fmt.Sprint(i))
			require.False(t, had[i] && !on, "unit %d lost the flag at %v percent", i, percent)
			had[i] = on
			if on {
				n++
			}
		}
		require.InDelta(t, percent, float64(n)/units*100, 1.2)
	}
	both := 0
	for i := range units {
		if (registry.Flag{Name: "f", Percent: 50}).On(c, fmt.Sprint(i)) && (registry.Flag{Name: "g", Percent: 50}).On(c, fmt.Sprint(i)) {
			both++
		}
	}
	require.InDelta(t, 25, float64(both)/units*100, 1.5)
	text := ""
	for i := range 16 {
		text += map[bool]string{true: "1", false: "0"}[registry.Flag{Name: "f", Percent: 50}.On(c, fmt.Sprint(i))]
	}
	require.Equal(t, "1111100001000010", text)
}

func TestQuotas(t *testing.T) {
	both(t, func(f fixture) {
		acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "bob")
		ann := f.as(acme, "ann")
		projects := registry.Quota{Name: "projects", Limit: 3, Plans: map[string]int64{"pro": 5, "max": -1}}
		usage := func(used, limit int64) {
			f.Helper()
			u, err := projects.Usage(ann, f.reg)
			require.NoError(f, err)
			require.Equal(f, registry.Usage{Used: used, Limit: limit}, u)
		}
		plan := func(name string) {
			_, err := f.reg.Update(ann, func(t *registry.Tenant) error { t.Plan = name; return nil })
			require.NoError(f, err)
		}
		usage(0, 3)
		var over *registry.QuotaError
		require.ErrorAs(f, projects.Take(ann, f.reg, 4), &over, "before the first use too")
		require.Equal(f, registry.QuotaError{What: "projects", Limit: 3, Used: 0, Asked: 4}, *over)
		require.NoError(f, projects.Take(ann, f.reg, 2))
		require.NoError(f, projects.Take(ann, f.reg, 1))
		err := projects.Take(ann, f.reg, 1)
		require.ErrorIs(f, err, registry.ErrQuota)
		require.Equal(f, 402, status(err))
		require.ErrorAs(f, err, &over)
		require.Equal(f, registry.QuotaError{What: "projects", Limit: 3, Used: 3, Asked: 1}, *over)
		require.NoError(f, projects.Take(f.as(globex, ""), f.reg, 3), "everybody has their own")

		plan("pro")
		require.NoError(f, projects.Take(ann, f.reg, 2))
		require.ErrorIs(f, projects.Take(ann, f.reg, 1), registry.ErrQuota)
		plan("max")
		require.NoError(f, projects.Take(ann, f.reg, 1<<40))
		require.NoError(f, projects.Release(ann, f.reg, 1<<40))
		require.NoError(f, projects.SetLimit(ann, f.reg, new(int64(6))))
		usage(5, 6)
		require.NoError(f, projects.Take(ann, f.reg, 1))
		require.ErrorAs(f, projects.Take(ann, f.reg, 1), &over)
		require.EqualValues(f, 6, over.Limit)
		require.NoError(f, projects.SetLimit(ann, f.reg, new(int64(0))), "below what is used")
		usage(6, 0)
		require.NoError(f, projects.SetLimit(ann, f.reg, new(int64(-1))))
		require.NoError(f, projects.Take(ann, f.reg, 100))
		require.NoError(f, projects.SetLimit(ann, f.reg, nil))
		require.NoError(f, projects.SetLimit(ann, f.reg, nil))
		usage(106, -1)

		require.ErrorIs(f, projects.Release(ann, f.reg, 107), registry.ErrMalformed)
		require.ErrorIs(f, registry.Quota{Name: "other"}.Release(ann, f.reg, 1), registry.ErrMalformed)
		require.NoError(f, projects.Release(ann, f.reg, 106))
		usage(0, -1)
		require.ErrorIs(f, registry.Quota{Name: "none"}.Take(ann, f.reg, 1), registry.ErrQuota, "zero is nothing at all")
		require.ErrorIs(f, projects.SetLimit(ann, f.reg, new(int64(math.MaxInt64))), registry.ErrMalformed)
	})
}

func TestQuotaFollowsItsUnit(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		ann := f.as(acme, "ann")
		q := registry.Quota{Name: "q", Limit: 2}
		failed := errors.New("could not make it")
		for range 3 { // each attempt gives back what it took
			require.ErrorIs(f, f.db.InTx(ann, func(ctx context.Context) error {
				require.NoError(f, q.Take(ctx, f.reg, 2))
				require.ErrorIs(f, q.Take(ctx, f.reg, 1), registry.ErrQuota)
				return failed
			}), failed)
		}
		require.NoError(f, f.db.InTx(ann, func(ctx context.Context) error {
			require.ErrorIs(f, f.db.InTx(ctx, func(ctx context.Context) error {
				require.NoError(f, q.Take(ctx, f.reg, 1))
				return failed
			}), failed)
			return q.Take(ctx, f.reg, 1) // a refusal, and a savepoint rolled back, leave the unit usable
		}))
		u, err := q.Usage(ann, f.reg)
		require.NoError(f, err)
		require.EqualValues(f, 1, u.Used)
	})
}

// TestQuotaIsNeverExceeded: 100 callers at once, each in a unit with other work, a third of which is rolled back; those that
// committed are as many as the limit, and the counter says so.
func TestQuotaIsNeverExceeded(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		ann := f.as(acme, "ann")
		q := registry.Quota{Name: "q", Limit: 20, Plans: map[string]int64{}}
		failed := errors.New("rolled back")
		var taken, refused atomic.Int64
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				err := f.db.Do(ann, func(ctx context.Context, tx *tenancy.Tx) error {
					if err := q.Take(ctx, f.reg, 1); err != nil {
						return err
					}
					tx.Audit(tenancy.Audit{Action: "made"})
					if i%3 == 0 {
						return failed
					}
					return nil
				})
				switch {
				case err == nil:
					taken.Add(1)
				case errors.Is(err, registry.ErrQuota):
					refused.Add(1)
				case !errors.Is(err, failed):
					f.Error(err)
				}
			})
		}
		wg.Wait()
		require.EqualValues(f, 20, taken.Load())
		require.NotZero(f, refused.Load())
		u, err := q.Usage(ann, f.reg)
		require.NoError(f, err)
		require.EqualValues(f, 20, u.Used)
		log, err := f.reg.AuditLog(ann, registry.AuditQuery{Limit: 1000})
		require.NoError(f, err)
		require.Len(f, log, 1+20, "as many things were made")
	})
}

// TestPlantedReadThenWriteIsFound shows what the condition in the statement replaces.
func TestPlantedReadThenWriteIsFound(t *testing.T) {
	t.Parallel()
	f, _ := postgres(t)
	ann := f.as(f.tenant("acme", "ann"), "ann")
	q := registry.Quota{Name: "q", Limit: 1}
	var read, wg sync.WaitGroup
	read.Add(2)
	for range 2 {
		wg.Go(func() {
			err := f.db.InTx(ann, func(ctx context.Context) error {
				u, err := q.Usage(ctx, f.reg)
				read.Done()
				read.Wait()
				if err != nil || u.Used >= u.Limit {
					return errors.Join(err, registry.ErrQuota)
				}
				return registry.Quota{Name: "q", Limit: -1}.Take(ctx, f.reg, 1)
			})
			if err != nil {
				f.Error(err)
			}
		})
	}
	wg.Wait()
	u, err := q.Usage(ann, f.reg)
	require.NoError(f, err)
	require.EqualValues(f, 2, u.Used)
}
