package tenancy_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// fleet is a number of processes that run units all the time.
type fleet struct {
	t       *testing.T
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	mu      sync.Mutex
	serving []*tenancy.DB
	units   []int
	errs    []error
}

func startFleet(t *testing.T, db *tenancy.DB) *fleet {
	const processes = 4
	ctx, cancel := context.WithCancel(t.Context())
	f := &fleet{t: t, cancel: cancel, units: make([]int, processes), errs: make([]error, processes)}
	for range processes {
		f.serving = append(f.serving, db)
	}
	for i := range processes {
		f.wg.Go(func() {
			for f.unit(i) && ctx.Err() == nil {
				continue
			}
		})
	}
	t.Cleanup(f.wg.Wait)
	t.Cleanup(cancel)
	return f
}

// unit runs one unit of process i; its snapshot may be older than the keys.
func (f *fleet) unit(i int) bool {
	f.mu.Lock()
	db := f.serving[i]
	f.mu.Unlock()
	err := db.With(&tenancy.TxOptions{Isolation: pgx.RepeatableRead}).Do(tenancy.WithID(f.t.Context(), fmt.Sprint("t", i)), func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Emit(noteAdded{"x"})
		if _, err := tx.Exec(ctx, insertNote, "x"); err != nil {
			return err
		}
		_, err := tenancy.All[note](ctx, tx, `select id, body from notes limit 3`)
		return err
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.units[i]++
	f.errs[i] = err
	return err == nil
}

// more waits until each process has done further units, or one has failed.
func (f *fleet) more() {
	f.mu.Lock()
	from := slices.Clone(f.units)
	f.mu.Unlock()
	require.Eventually(f.t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, n := range f.units {
			if n < from[i]+3 && f.errs[i] == nil {
				return false
			}
		}
		return true
	}, time.Minute, time.Millisecond)
}

// roll gives the processes another DB, one by one.
func (f *fleet) roll(db *tenancy.DB) {
	for i := range f.serving {
		f.mu.Lock()
		f.serving[i] = db
		f.mu.Unlock()
		f.more()
	}
}

// stop wants that no unit has failed.
func (f *fleet) stop() {
	f.cancel()
	f.wg.Wait()
	for i, err := range f.errs {
		require.NoError(f.t, err, "process %d after %d units", i, f.units[i])
	}
}

// TestSealRotation runs units all the time while a running, unsealed system is sealed, gets a second key and loses the first.
func TestSealRotation(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	k1, k2 := newSeal(t, "k1"), newSeal(t, "k2")
	plain, first, second := sealedDB(t, pg, nil), sealedDB(t, pg, k1), sealedDB(t, pg, k2)
	check := func(db *tenancy.DB) error { return db.Check(t.Context()) }

	f := startFleet(t, plain)
	f.more()
	require.NoError(t, check(plain))
	require.ErrorIs(t, check(first), tenancy.ErrUnsealed)
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, k1, &tenancy.SealOptions{Optional: true}))
	f.more()
	require.NoError(t, check(plain), "still taken")
	require.NoError(t, check(first))
	f.roll(first)
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, k1, nil))
	f.more()
	require.ErrorContains(t, check(plain), "is not sealed")
	require.ErrorContains(t, check(second), "unknown or retired key")
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, k2, nil))
	f.more()
	f.roll(second)
	require.NoError(t, check(first), "not retired yet")
	require.NoError(t, tenancy.RetireSeal(t.Context(), pg.Owner, "k1"))
	f.more()
	f.stop()
	require.ErrorContains(t, check(first), "unknown or retired key")
	require.NoError(t, check(second))
}

func TestSealKeysAreNotLostByAccident(t *testing.T) {
	t.Parallel()
	_, pg := openSealed(t)
	other, err := tenancy.NewSeal("k1", bytes.Repeat([]byte("x"), 32))
	require.NoError(t, err)
	require.ErrorContains(t, tenancy.InstallSeal(t.Context(), pg.Owner, other, nil), "k1 is installed with another secret")
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, newSeal(t, "k1"), nil), "can be repeated")
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, newSeal(t, "k1"), &tenancy.SealOptions{Optional: true}))
	require.ErrorContains(t, sealedDB(t, pg, nil).Check(t.Context()), "is not sealed", "required stays required")
	require.ErrorIs(t, tenancy.RetireSeal(t.Context(), pg.Owner, "k7"), tenancy.ErrNotFound)
	require.ErrorContains(t, tenancy.RetireSeal(t.Context(), pg.Owner, "k1"), "last key")
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, newSeal(t, "k2"), &tenancy.SealOptions{Optional: true}))
	require.ErrorContains(t, tenancy.RetireSeal(t.Context(), pg.Owner, "k1"), "last key", "the other one is optional")
	require.NoError(t, tenancy.RetireSeal(t.Context(), pg.Owner, "k2"))
	require.Error(t, tenancy.InstallSeal(t.Context(), pg.App, newSeal(t, "k3"), nil), "the app role cannot")
	require.Error(t, tenancy.RetireSeal(t.Context(), pg.App, "k1"))
	require.Error(t, tenancy.InstallSeal(t.Context(), pg.Owner, nil, nil))
}

func TestSealPrintsNoSecret(t *testing.T) {
	t.Parallel()
	secret := []byte("correct horse battery staple, 32+")
	seal, err := tenancy.NewSeal("k1", secret)
	require.NoError(t, err)
	opts := tenancy.Options{Seal: seal}
	var out bytes.Buffer
	for _, v := range []any{seal, *seal, opts, &opts, []any{seal}, map[string]any{"seal": seal}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "seal", seal, "opts", opts)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "seal", seal)
	encoded, err := json.Marshal(seal)
	require.NoError(t, err)
	out.Write(encoded)
	require.Contains(t, out.String(), "seal k1")
	for _, s := range []string{string(secret), hex.EncodeToString(secret), fmt.Sprint(secret), "correct", "636f7272", strings.Trim(fmt.Sprint(secret[:4]), "[]")} {
		require.NotContains(t, out.String(), s)
	}
	require.Equal(t, "k1", seal.Kid())
}

func TestSealIsValidated(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("s"), 32)
	for _, kid := range []string{"", "K1", "k:1", "k 1", "k\x00", strings.Repeat("k", 33), "é"} {
		_, err := tenancy.NewSeal(kid, long)
		require.ErrorContains(t, err, "key id", kid)
	}
	_, err := tenancy.NewSeal("k1", long[:31])
	require.ErrorContains(t, err, "at least 32")
	require.NotContains(t, err.Error(), "sss")
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	_, err = tenancy.New(pg.App, &tenancy.Options{Seal: &tenancy.Seal{}})
	require.ErrorContains(t, err, "NewSeal")
	cfg := pg.App.Config()
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	simple, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer simple.Close()
	_, err = tenancy.New(simple, &tenancy.Options{Seal: newSeal(t, "k1")})
	require.ErrorContains(t, err, "simple protocol")
	// Secrets longer than a block are hashed, as HMAC says; both sides agree.
	seal, err := tenancy.NewSeal("long", bytes.Repeat([]byte("s"), 200))
	require.NoError(t, err)
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, seal, nil))
	require.NoError(t, sealedDB(t, pg, seal).Check(t.Context()))
}
