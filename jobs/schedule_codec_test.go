package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

func TestScheduleWithCodec(t *testing.T) {
	ring, err := jobs.NewKeyring("k", map[string][]byte{"k": make([]byte, 32)})
	require.NoError(t, err)
	opts := withTenants()
	opts.Codec = ring
	bubble(t, opts, func(b *bench) {
		acme := inTenant(b.Context(), "acme")
		var r runs
		r.handle(b.q)
		b.schedule(acme, b.q, "check", "@every 1m", Mail{To: "secret"}, nil)
		page, _, err := b.d.Schedules(acme, "", 10)
		require.NoError(b, err)
		require.NotContains(b, string(page[0].Data), "secret")
		shown, _, err := b.q.Schedules(acme, "", 10)
		require.NoError(b, err)
		require.True(b, shown[0].Sealed)
		require.Equal(b, "k", shown[0].SealedBy)
		require.Nil(b, shown[0].Args)
		stop := run(b, b.q)
		b.sleep(30 * time.Second)
		b.schedule(acme, b.q, "check", "@every 1m", Mail{To: "secret"}, nil)
		again, _, err := b.d.Schedules(acme, "", 10)
		require.NoError(b, err)
		require.Equal(b, page, again, "the same again changes nothing")
		b.sleep(31 * time.Second)
		require.Equal(b, []string{"acme/secret@1m0s"}, r.take())

		// Someone who can write to the store moves it to another tenant.
		_, err = b.d.PutSchedule(acme, driver.PutSchedule{Key: "bolt check", Data: page[0].Data, Start: driver.Start{From: time.Now(), Next: time.Now().Add(time.Second)}})
		require.NoError(b, err)
		_, err = b.q.RunNow(inTenant(b.Context(), "bolt"), "check")
		require.ErrorContains(b, err, "belongs to another")
		b.sleep(30 * time.Second)
		require.Empty(b, r.take())
		require.NoError(b, stop())
	})
}

// unnamed is a codec that does not tell its keys.
type unnamed struct{ ring *jobs.Keyring }

func (u unnamed) Seal(plain, bound []byte) ([]byte, error)  { return u.ring.Seal(plain, bound) }
func (u unnamed) Open(sealed, bound []byte) ([]byte, error) { return u.ring.Open(sealed, bound) }

// The same schedule again, which was stored in the open or sealed by a key that
// will be gone, is sealed with the current key and goes on as it did.
func TestKeysOfSchedulesRotate(t *testing.T) {
	older, both := ring(t, "k1", map[string][]byte{"k1": key(1)}), ring(t, "k2", map[string][]byte{"k1": key(1), "k2": key(2)})
	for name, c := range map[string]struct{ before, after *jobs.Options }{
		"keyring":   {&jobs.Options{Codec: older}, &jobs.Options{Codec: both}},
		"in clear":  {&jobs.Options{}, &jobs.Options{Codec: both}},
		"any codec": {&jobs.Options{Codec: unnamed{older}}, &jobs.Options{Codec: unnamed{both}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, c.before, func(b *bench) {
				c.after.Logger = quiet
				ctx, late := b.Context(), b.queue(c.after)
				stored := func() driver.Schedule {
					found, err := b.d.FindSchedules(ctx, []string{" check"})
					require.NoError(b, err)
					return found[0]
				}
				b.schedule(ctx, b.q, "check", "@every 1m", Mail{To: "ann"}, nil)
				first := stored()
				b.sleep(30 * time.Second)
				claimed, err := b.d.Claim(ctx, driver.Claim{Limit: 1, Hold: time.Minute})
				require.NoError(b, err)
				require.Empty(b, claimed.Due)
				b.schedule(ctx, late, "check", "@every 1m", Mail{To: "ann"}, nil)
				second := stored()
				require.NotEqual(b, first.Data, second.Data)
				require.Equal(b, first.Next, second.Next)

				last := b.queue(&jobs.Options{Codec: ring(t, "k2", map[string][]byte{"k2": key(2)}), Logger: quiet})
				var r runs
				r.handle(last)
				stop := run(b, last)
				b.sleep(31 * time.Second)
				require.Equal(b, []string{"/ann@30s"}, r.take())
				require.NoError(b, stop())
			})
		})
	}
}
