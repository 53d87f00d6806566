package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func ring(t testing.TB, current string, keys map[string][]byte) *jobs.Keyring {
	t.Helper()
	k, err := jobs.NewKeyring(current, keys)
	require.NoError(t, err)
	return k
}

func TestSealedJob(t *testing.T) {
	opts := &jobs.Options{Codec: ring(t, "k1", map[string][]byte{"k1": key(1)})}
	bubble(t, opts, func(b *bench) {
		r := b.enqueue(Mail{To: "ann"}, &jobs.EnqueueOptions{Keep: time.Hour})
		stored, err := b.d.Find(b.Context(), []string{r.ID})
		require.NoError(b, err)
		require.NotContains(b, string(stored[0].Body), "ann")
		require.True(b, bytes.HasPrefix(stored[0].Body, []byte(`{"v":1,"kind":"mail.send"`)), "stores may read the kind")
		seen, err := b.q.Find(b.Context(), r.ID)
		require.NoError(b, err)
		require.True(b, seen[0].Sealed)
		require.Equal(b, "k1", seen[0].SealedBy)
		require.Nil(b, seen[0].Args)

		jobs.HandleResult(b.q, func(_ context.Context, m Mail) (string, error) { return "sent to " + m.To, nil })
		stop := run(b, b.q)
		got, err := jobs.Await[string](b.Context(), b.q, r.ID)
		require.NoError(b, err)
		require.Equal(b, "sent to ann", got)
		stored, err = b.d.Find(b.Context(), []string{r.ID})
		require.NoError(b, err)
		require.NotContains(b, string(stored[0].Result), "ann")
		require.NoError(b, stop())
	})
}

// Whoever can write to the store cannot make a worker run sealed arguments as
// those of another job, kind or tenant.
func TestSealedArgumentsStayWithTheirJob(t *testing.T) {
	opts := withTenants()
	opts.Codec = ring(t, "k1", map[string][]byte{"k1": key(1)})
	bubble(t, opts, func(b *bench) {
		fail := func(context.Context, string) { b.Error("was called") }
		jobs.Handle(b.q, func(ctx context.Context, m Mail) error { fail(ctx, m.To); return nil })
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error { fail(ctx, ""); return nil })
		source := jobstest.NewDriver()
		q, err := jobs.New(source, opts)
		require.NoError(b, err)
		r, err := q.Enqueue(opts.WithTenant(b.Context(), "acme"), Mail{To: "ann"}, nil)
		require.NoError(b, err)
		stored, err := source.Find(b.Context(), []string{r.ID})
		require.NoError(b, err)

		forge := func(id string, change func(map[string]any)) driver.Job {
			var env map[string]any
			require.NoError(b, json.Unmarshal(stored[0].Body, &env))
			env["max"] = 1
			change(env)
			body, err := json.Marshal(env)
			require.NoError(b, err)
			return driver.Job{ID: id, Body: body}
		}
		_, err = b.d.Push(b.Context(), driver.Push{Jobs: []driver.Job{
			forge("other", func(map[string]any) {}),
			forge(r.ID, func(env map[string]any) { env["tenant"] = "evil" }),
		}})
		require.NoError(b, err)
		jobstest.Drain(b, b.d, b.q)
		_, err = b.q.Delete(b.Context(), r.ID)
		require.NoError(b, err)
		_, err = b.d.Push(b.Context(), driver.Push{Jobs: []driver.Job{
			forge(r.ID, func(env map[string]any) { env["kind"] = "note" }),
		}})
		require.NoError(b, err)
		jobstest.Drain(b, b.d, b.q)
		b.stats(jobs.Stats{Dead: 2})
		dead, err := b.q.List(b.Context(), jobs.Dead, 0, 9)
		require.NoError(b, err)
		for _, e := range dead {
			require.Contains(b, e.Error, "belongs to another job")
		}
	})
}

func TestKeysRotate(t *testing.T) {
	older := ring(t, "k1", map[string][]byte{"k1": key(1)})
	newer := ring(t, "k2", map[string][]byte{"k1": key(1), "k2": key(2)})
	bubble(t, &jobs.Options{Codec: older}, func(b *bench) {
		late := b.queue(&jobs.Options{Codec: newer, Logger: quiet})
		var got []string
		handle := func(_ context.Context, m Mail) error {
			got = append(got, m.To)
			return nil
		}
		jobs.Handle(b.q, handle)
		jobs.Handle(late, handle)
		b.enqueue(Mail{To: "old key"}, nil)
		_, err := late.Enqueue(b.Context(), Mail{To: "new key"}, nil)
		require.NoError(b, err)
		plain := b.queue(&jobs.Options{Logger: quiet})
		jobs.Handle(plain, handle)

		for _, q := range []*jobs.Queue{plain, b.q} { // neither loses what it cannot read
			stop := run(b, q)
			b.sleep(30 * time.Second)
			require.NoError(b, stop())
		}
		b.stats(jobs.Stats{Scheduled: 1})
		jobstest.Drain(b, b.d, late)
		require.Equal(b, []string{"old key", "new key"}, got)
	})
}

func TestUnsealedJobsRunBesideACodec(t *testing.T) {
	opts := &jobs.Options{Codec: ring(t, "k1", map[string][]byte{"k1": key(1)})}
	bubble(t, opts, func(b *bench) {
		ran := 0
		jobs.Handle(b.q, func(context.Context, Mail) error { ran++; return nil })
		_, err := b.queue(nil).Enqueue(b.Context(), Mail{}, nil)
		require.NoError(b, err)
		jobstest.Drain(b, b.d, b.q)
		require.Equal(b, 1, ran)
	})
}

func TestKeyring(t *testing.T) {
	k := ring(t, "k1", map[string][]byte{"k1": key(1)[:16], "k2": key(2)})
	sealed, err := k.Seal([]byte("secret"), []byte("bound"))
	require.NoError(t, err)
	again, err := k.Seal([]byte("secret"), []byte("bound"))
	require.NoError(t, err)
	require.NotEqual(t, sealed, again, "a nonce of its own")
	plain, err := k.Open(sealed, []byte("bound"))
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))

	require.Equal(t, "k1", k.KeyOf(sealed))
	require.Empty(t, k.KeyOf([]byte("no")))

	_, err = k.Open(sealed, []byte("other"))
	require.ErrorContains(t, err, "belongs to another job")
	for i := range sealed { // each byte counts
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		_, err = k.Open(bad, []byte("bound"))
		require.Error(t, err, "byte %d", i)
	}
	for n := range sealed {
		_, err = k.Open(sealed[:n], []byte("bound"))
		require.Error(t, err, "%d bytes", n)
	}
	_, err = ring(t, "k2", map[string][]byte{"k2": key(2)}).Open(sealed, []byte("bound"))
	require.ErrorIs(t, err, jobs.ErrUnknownKey)

	for name, bad := range map[string]func() (*jobs.Keyring, error){
		"no key":     func() (*jobs.Keyring, error) { return jobs.NewKeyring("k1", nil) },
		"odd length": func() (*jobs.Keyring, error) { return jobs.NewKeyring("k1", map[string][]byte{"k1": key(1)[:9]}) },
		"odd name":   func() (*jobs.Keyring, error) { return jobs.NewKeyring("k 1", map[string][]byte{"k 1": key(1)}) },
	} {
		_, err := bad()
		require.Error(t, err, name)
	}
}

type brokenCodec struct{ error }

func (c brokenCodec) Seal([]byte, []byte) ([]byte, error) { return nil, c.error }
func (c brokenCodec) Open([]byte, []byte) ([]byte, error) { return nil, c.error }

func TestCodecThatFailsStoresNothing(t *testing.T) {
	down := errors.New("key server is down")
	bubble(t, &jobs.Options{Codec: brokenCodec{down}}, func(b *bench) {
		_, err := b.q.Enqueue(b.Context(), Mail{}, nil)
		require.ErrorIs(b, err, down)
		b.stats(jobs.Stats{})
	})
}

// What somebody stores in clear beside sealed jobs is refused where that is
// asked for, and is not lost.
func TestRequireSealed(t *testing.T) {
	keys := ring(t, "k1", map[string][]byte{"k1": key(1)})
	bubble(t, &jobs.Options{Codec: keys, RequireSealed: true}, func(b *bench) {
		var ran []string
		handle := func(_ context.Context, m Mail) (string, error) {
			ran = append(ran, m.To)
			return "sent", nil
		}
		jobs.HandleResult(b.q, handle)
		lax := b.queue(&jobs.Options{Codec: keys, Logger: quiet})
		jobs.HandleResult(lax, handle)
		plain := b.queue(nil)

		keep := &jobs.EnqueueOptions{Keep: time.Hour}
		good := b.enqueue(Mail{To: "ann"}, keep)
		forged, err := plain.Enqueue(b.Context(), Mail{To: "eve"}, keep)
		require.NoError(b, err)
		b.schedule(b.Context(), plain, "check", "@every 1h", Mail{To: "tick"}, nil)
		_, err = b.q.RunNow(b.Context(), "check")
		require.ErrorContains(b, err, "RequireSealed")
		jobstest.Advance(b, b.q, 90*time.Minute)
		require.Equal(b, []string{"ann"}, ran)
		b.stats(jobs.Stats{Dead: 1})
		_, err = jobs.Result[string](b.Context(), b.q, forged.ID)
		require.ErrorIs(b, err, jobs.ErrDead)
		require.ErrorContains(b, err, "stored in clear, which Options.RequireSealed refuses")

		// Its own program adds the schedule again: a tick that was due is fired.
		b.schedule(b.Context(), b.q, "check", "@every 1h", Mail{To: "tick"}, nil)
		jobstest.Advance(b, b.q, 20*time.Minute)
		require.Equal(b, []string{"ann", "tick"}, ran)

		_, err = b.q.Requeue(b.Context(), forged.ID)
		require.NoError(b, err)
		jobstest.Advance(b, lax, time.Minute)
		require.Equal(b, []string{"ann", "tick", "eve"}, ran)
		_, err = jobs.Result[string](b.Context(), b.q, forged.ID)
		require.NoError(b, err, "the result was sealed")
		_, err = jobs.Result[string](b.Context(), b.q, good.ID)
		require.ErrorIs(b, err, jobs.ErrNotFound, "an hour is over")
	})
}

func TestRequireSealedRefusesResultsInClear(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.HandleResult(b.q, func(context.Context, Mail) (string, error) { return "forged", nil })
		r := b.enqueue(Mail{}, &jobs.EnqueueOptions{Keep: time.Hour})
		jobstest.Drain(b, b.d, b.q)
		strict := b.queue(&jobs.Options{Codec: ring(b, "k1", map[string][]byte{"k1": key(1)}), RequireSealed: true, Logger: quiet})
		_, err := jobs.Result[string](b.Context(), strict, r.ID)
		require.ErrorContains(b, err, "RequireSealed")
	})
}

// A job that is replaced keeps its id and gets arguments that were sealed before
// anybody knew it.
func TestReplacedJobIsOpened(t *testing.T) {
	opts := withTenants()
	opts.Codec = ring(t, "k1", map[string][]byte{"k1": key(1)})
	bubble(t, opts, func(b *bench) {
		acme := opts.WithTenant(b.Context(), "acme")
		var ran []string
		jobs.Handle(b.q, func(ctx context.Context, m Mail) error {
			info, _ := jobs.InfoFrom(ctx)
			ran = append(ran, info.ID+" "+m.To)
			return nil
		})
		latest := func(id string) *jobs.EnqueueOptions {
			return &jobs.EnqueueOptions{ID: id, Key: "customer \xff", Scope: jobs.Replace}
		}
		_, err := b.q.Enqueue(acme, Mail{To: "first"}, latest("a"))
		require.NoError(b, err)
		replaced, err := b.q.Enqueue(acme, Mail{To: "second"}, latest("b"))
		require.NoError(b, err)
		require.Equal(b, jobs.Receipt{ID: "a", Duplicate: true, Replaced: true}, replaced)
		jobstest.Drain(b, b.d, b.q)
		_, err = b.q.EnqueueMany(acme, []jobs.Item{{Args: Mail{To: "third"}, Options: latest("c")}, {Args: Mail{To: "fourth"}, Options: latest("d")}})
		require.NoError(b, err)
		jobstest.Drain(b, b.d, b.q)
		require.Equal(b, []string{"a second", "c fourth"}, ran)
		b.stats(jobs.Stats{})
	})
}

// Arguments that are sealed for a key are not those of another one, nor those
// of a job that has the key's name.
func TestReplacingArgumentsStayWithTheirKey(t *testing.T) {
	bubble(t, &jobs.Options{Codec: ring(t, "k1", map[string][]byte{"k1": key(1)})}, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Mail) error {
			b.Error("was called")
			return nil
		})
		r := b.enqueue(Mail{To: "ann"}, &jobs.EnqueueOptions{Key: "one", Scope: jobs.Replace, MaxAttempts: 1})
		stored, err := b.d.Find(b.Context(), []string{r.ID})
		require.NoError(b, err)
		_, err = b.q.Cancel(b.Context(), r.ID)
		require.NoError(b, err)
		for id, other := range map[string]string{"another": `"key":"dHdv"`, "one": `"max":1`} {
			body := bytes.Replace(stored[0].Body, []byte(`"key":"b25l"`), []byte(other), 1)
			require.NotEqual(b, stored[0].Body, body)
			_, err = b.d.Push(b.Context(), driver.Push{Jobs: []driver.Job{{ID: id, Body: body}}})
			require.NoError(b, err)
		}
		jobstest.Drain(b, b.d, b.q)
		b.stats(jobs.Stats{Dead: 2})
		buried, err := b.q.Find(b.Context(), "another", "one")
		require.NoError(b, err)
		require.Len(b, buried, 2)
		for _, e := range buried {
			require.Contains(b, e.Error, "jobs: open mail.send: ", e.Info.ID)
			require.Equal(b, 1, e.Info.Attempt, e.Info.ID)
		}
	})
}

// On the day on which a codec is set, or taken away, there are results and flows
// of before.
func TestResultsOutliveTheSwitchOfTheCodec(t *testing.T) {
	keys := ring(t, "k1", map[string][]byte{"k1": key(1)})
	for _, first := range []string{"plain", "sealed"} {
		t.Run(first+" first", func(t *testing.T) {
			bubble(t, nil, func(b *bench) {
				plain, sealed := b.q, b.queue(&jobs.Options{Codec: keys, Logger: quiet})
				before, after := plain, sealed
				if first == "sealed" {
					before, after = sealed, plain
				}
				double := func(_ context.Context, n Note) (int, error) { return 2 * n.N, nil }
				jobs.HandleResult(before, double)
				job, err := before.Enqueue(b.Context(), Note{N: 21}, &jobs.EnqueueOptions{Keep: time.Hour})
				require.NoError(b, err)
				flow, err := plain.Start(b.Context(), jobs.Flow{Stages: [][]jobs.Item{jobs.Items(Note{N: 3}), jobs.Items(Mail{})}})
				require.NoError(b, err)
				stop := run(b, before)
				b.sleep(time.Second)
				require.NoError(b, stop())

				var inputs []int
				jobs.Handle(after, func(ctx context.Context, _ Mail) (err error) {
					inputs, err = jobs.Inputs[int](ctx)
					return err
				})
				stop = run(b, after)
				b.sleep(time.Minute)
				require.NoError(b, stop())
				if first == "sealed" {
					_, err = jobs.Result[int](b.Context(), after, job.ID)
					require.ErrorContains(b, err, "result is sealed but Options.Codec is nil")
					after = b.queue(&jobs.Options{Codec: keys, Logger: quiet})
				} else {
					require.Equal(b, []int{6}, inputs)
					_, err = jobs.Outputs[int](b.Context(), after, flow.ID)
					require.NoError(b, err)
				}
				got, err := jobs.Result[int](b.Context(), after, job.ID)
				require.NoError(b, err)
				require.Equal(b, 42, got)
			})
		})
	}
}

// Builds before the mark stored what the codec made, and nothing else.
func TestSealedResultsWithoutAMarkAreRead(t *testing.T) {
	keys := ring(t, "k1", map[string][]byte{"k1": key(1)})
	bubble(t, &jobs.Options{Codec: keys}, func(b *bench) {
		r := b.enqueue(Note{}, &jobs.EnqueueOptions{Keep: time.Hour})
		bound := "jobs/1\x06result\x04note\x00" + string(rune(len(r.ID))) + r.ID
		sealed, err := keys.Seal([]byte("42"), []byte(bound))
		require.NoError(b, err)
		_, err = b.d.Beat(b.Context(), driver.Beat{Worker: "older", Lease: time.Minute, Join: true})
		require.NoError(b, err)
		_, err = b.d.Exchange(b.Context(), driver.Exchange{Worker: "older", Seq: 1, Want: 1})
		require.NoError(b, err)
		_, err = b.d.Exchange(b.Context(), driver.Exchange{
			Worker: "older", Seq: 2, Done: []driver.Outcome{{ID: r.ID, Action: driver.Finish, Keep: time.Hour, Result: sealed}},
		})
		require.NoError(b, err)
		got, err := jobs.Result[int](b.Context(), b.q, r.ID)
		require.NoError(b, err)
		require.Equal(b, 42, got)
	})
}
