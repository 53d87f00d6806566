package tenancytest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

type paid struct{ Invoice int }

func (paid) EventType() string { return "paid" }

func acme(t *testing.T) context.Context { return tenancy.WithID(t.Context(), "acme") }

func TestTableKeepsEveryUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kit := tenancytest.New(t)
		db, err := tenancy.New(nil, &tenancy.Options{Driver: kit, Retries: 100})
		require.NoError(t, err)
		table := tenancytest.NewTable[string, int](kit)
		require.NoError(t, table.Put(acme(t), "n", 0))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				err := db.Do(acme(t), func(ctx context.Context, _ *tenancy.Tx) error {
					n, err := table.Get(ctx, "n")
					if err != nil {
						return err
					}
					<-time.After(time.Millisecond) // virtual: everybody has read before anybody writes
					return table.Put(ctx, "n", n+1)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		n, err := table.Get(acme(t), "n")
		require.NoError(t, err)
		require.Equal(t, 10, n)
	})
}

func TestSerializableNoticesReads(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	table := tenancytest.NewTable[string, bool](kit)
	for _, doctor := range []string{"ann", "bob"} {
		require.NoError(t, table.Put(acme(t), doctor, true))
	}
	runs := 0
	strict := kit.DB().With(&tenancy.TxOptions{Isolation: pgx.Serializable})
	err := strict.Do(acme(t), func(ctx context.Context, _ *tenancy.Tx) error {
		runs++
		bob, err := table.Get(ctx, "bob")
		if err != nil || !bob {
			return err
		}
		if runs == 1 { // meanwhile somebody else sends bob home; one must stay
			require.NoError(t, table.Put(acme(t), "bob", false))
		}
		return table.Put(ctx, "ann", false)
	})
	require.NoError(t, err)
	require.Equal(t, 2, runs)
	ann, err := table.Get(acme(t), "ann")
	require.NoError(t, err)
	require.True(t, ann)
}

func TestTableInAUnit(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	table := tenancytest.NewTable[int, string](kit)
	planned := errors.New("planned")
	err := kit.DB().Do(acme(t), func(ctx context.Context, _ *tenancy.Tx) error {
		require.NoError(t, table.Put(ctx, 1, "one"))
		_, err := table.Get(ctx, 2)
		require.ErrorIs(t, err, tenancy.ErrNotFound)
		require.NoError(t, table.Put(ctx, 2, "two")) // a row that is missing spoils nothing
		require.NoError(t, table.Delete(ctx, 1))
		all, err := table.All(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"two"}, all)
		return planned
	})
	require.ErrorIs(t, err, planned)
	all, err := table.All(acme(t))
	require.NoError(t, err)
	require.Empty(t, all)
	require.ErrorContains(t, tenancytest.New(t).DB().InTx(acme(t), func(ctx context.Context) error { return table.Put(ctx, 1, "x") }), "different kits")
	require.ErrorIs(t, table.Put(t.Context(), 1, "x"), tenancy.ErrNoTenant)
	require.Error(t, table.Put(tenancy.System(t.Context(), "test"), 1, "x"))
}

func TestFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kit := tenancytest.New(t)
		table := tenancytest.NewTable[int, int](kit)
		runs := 0
		pay := func(event bool) error {
			runs = 0
			return kit.DB().Do(acme(t), func(ctx context.Context, tx *tenancy.Tx) error {
				runs++
				if event {
					tx.Emit(paid{runs})
				}
				return table.Put(ctx, 1, runs)
			})
		}
		kit.FailNext(tenancytest.ErrConnLost, &pgconn.PgError{Code: "40P01"})
		require.NoError(t, pay(true))
		require.Equal(t, 3, runs)
		require.Equal(t, []paid{{3}}, tenancytest.Emitted[paid](kit))

		kit.LoseCommit(true)
		require.NoError(t, pay(true), "found by its event")
		require.Equal(t, 1, runs)
		require.Len(t, kit.Events(), 2)

		kit.LoseCommit(false)
		require.NoError(t, pay(true), "known not to have happened, so it ran again")
		require.Equal(t, 2, runs)
		require.Len(t, kit.Events(), 3)

		kit.LoseCommit(true)
		require.ErrorIs(t, pay(false), tenancy.ErrCommitUnknown)

		kit.FailNext(tenancytest.ErrConnLost, tenancytest.ErrConnLost, tenancytest.ErrConnLost,
			tenancytest.ErrConnLost, tenancytest.ErrConnLost, tenancytest.ErrConnLost)
		require.ErrorIs(t, pay(true), tenancytest.ErrConnLost, "six attempts are enough")
		require.Equal(t, 6, runs)
	})
}

func TestStatementWithoutAnswer(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	_, err := tenancy.All[int](acme(t), kit.DB(), `select  n
		from numbers;`)
	require.ErrorContains(t, err, `no answer for "select n from numbers"`)
	kit.Handle(`select n from numbers`, func(context.Context, ...any) (any, error) { return []int{1, 2}, nil })
	list, err := tenancy.All[int](acme(t), kit.DB(), `select n from numbers;`)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, list)
	require.Panics(t, func() { kit.Handle(`select n  from numbers`, nil) })
}

func TestScanning(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	type row struct {
		ID     int32
		Name   *string
		Amount float64 `db:"total"`
		At     time.Time
	}
	name, at := "ann", time.Unix(1, 0).UTC()
	kit.Handle(`rows`, func(context.Context, ...any) (any, error) { return []row{{1, &name, 1.5, at}, {2, nil, 2, at}}, nil })
	type other struct {
		Total float32
		ID    int64
		Name  *string
		At    time.Time
	}
	list, err := tenancy.All[other](acme(t), kit.DB(), `rows`)
	require.NoError(t, err)
	require.Equal(t, []other{{1.5, 1, &name, at}, {2, 2, nil, at}}, list)
	_, err = tenancy.All[struct{ ID, Missing int }](acme(t), kit.DB(), `rows`)
	require.Error(t, err)
	require.NoError(t, kit.DB().Do(acme(t), func(ctx context.Context, tx *tenancy.Tx) error {
		var id int
		var text string
		require.ErrorContains(t, tx.QueryRow(ctx, `rows`).Scan(&id, &text, nil), "destinations")
		require.NoError(t, tx.QueryRow(ctx, `rows`).Scan(&id, &text, nil, nil))
		require.Equal(t, "ann", text)
		require.Error(t, tx.QueryRow(ctx, `rows`).Scan(&text, &text, nil, nil))
		return nil
	}))
}
