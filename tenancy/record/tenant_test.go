package record_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// tagged knows whose it is.
type tagged struct {
	ID       string `db:"id,pk,auto"`
	Version  int64  `db:"version,version"`
	TenantID string `db:"tenant_id,readonly"`
	Name     string
}

var taggeds = record.Define[tagged]("app.taggeds", nil)

// shared belongs to nobody.
type shared struct {
	Key     string `db:"key,pk"`
	Version int64  `db:"version,version"`
	Name    string
}

var shareds = record.Define[shared]("app.shareds", &record.Options{Tenant: "-", Unique: []record.Unique{{Columns: []string{"name"}}}})

func TestSystemUnits(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		globex := tenancy.WithID(ctx, "globex")
		mine, theirs := tagged{Name: "a"}, tagged{Name: "b"}
		require.NoError(t, taggeds.Save(ctx, db, &mine))
		require.NoError(t, taggeds.Save(globex, db, &theirs))
		require.Equal(t, "acme", mine.TenantID)
		none := tenancy.System(context.Background(), "test")
		named := tenancy.System(ctx, "test")

		all, err := taggeds.List(none, db, record.Query{Order: "name"})
		require.NoError(t, err)
		require.Equal(t, []tagged{mine, theirs}, all)
		some, err := taggeds.List(named, db, record.Query{})
		require.NoError(t, err)
		require.Equal(t, []tagged{mine}, some)
		_, err = taggeds.Find(named, db, theirs.ID)
		require.ErrorIs(t, err, tenancy.ErrNotFound)

		theirs.Name = "c"
		require.NoError(t, taggeds.Save(none, db, &theirs))
		n, err := taggeds.Update(none, db, "name = name || '!'", "")
		require.NoError(t, err)
		require.Equal(t, int64(2), n)
		n, err = taggeds.Update(named, db, "name = name || '?'", "true")
		require.NoError(t, err)
		require.Equal(t, int64(1), n)

		made := tagged{Name: "made"}
		require.NoError(t, taggeds.Save(named, db, &made))
		require.Equal(t, "acme", made.TenantID)
		require.NoError(t, taggeds.InsertAll(named, db, []tagged{{Name: "bulk"}}))
		for _, write := range []func() error{
			func() error { return taggeds.Save(none, db, &tagged{Name: "x"}) },
			func() error { return taggeds.InsertAll(none, db, []tagged{{Name: "x"}}) },
		} {
			var answer *pgconn.PgError
			require.ErrorAs(t, write(), &answer, "a row needs a tenant")
			require.Equal(t, "42501", answer.Code)
		}
		n, err = taggeds.Count(ctx, db, record.Query{})
		require.NoError(t, err)
		require.Equal(t, int64(3), n)
	})
}

// TestSameKeyInSeveralTenants: for all tenants a key is not enough.
func TestSameKeyInSeveralTenants(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		tenants := []string{"acme", "globex", "initech"}
		for _, id := range tenants {
			at := tenancy.WithID(ctx, id)
			require.NoError(t, taggeds.Save(at, db, &tagged{ID: "same", Name: id}))
			require.NoError(t, places.Save(at, db, &place{Room: "hall", Shelf: 1}))
		}
		all := tenancy.System(context.Background(), "test")
		require.NoError(t, db.Do(all, func(ctx context.Context, tx *tenancy.Tx) error {
			for name, q := range map[string]tenancy.Querier{"in a unit": tx, "alone": db} {
				p := place{Room: "hall", Shelf: 1, Version: 1, Books: 7}
				require.ErrorIs(t, places.Save(ctx, q, &p), pgx.ErrTooManyRows, name)
				require.ErrorIs(t, places.Delete(ctx, q, &p), pgx.ErrTooManyRows, name)
			}
			return nil
		}))
		p := place{Room: "hall", Shelf: 1, Version: 1, Books: 7}
		require.ErrorIs(t, places.Save(all, db, &p), pgx.ErrTooManyRows)
		require.ErrorIs(t, places.Erase(all, db, &p), pgx.ErrTooManyRows)
		require.ErrorIs(t, db.Do(all, func(_ context.Context, tx *tenancy.Tx) error { return places.SaveLater(tx, &p) }), tenancy.ErrStale)
		for _, id := range tenants {
			list, err := places.List(tenancy.WithID(ctx, id), db, record.Query{})
			require.NoError(t, err)
			require.Equal(t, []place{{Room: "hall", Shelf: 1, Version: 1}}, list, "nobody's record has changed")
		}
		_, err := places.Page(all, db, record.Query{})
		require.ErrorContains(t, err, "tenant_id")

		for _, order := range []string{"", "-id", "tenant_id"} {
			var seen []string
			q := record.Query{Limit: 1, Order: order}
			for more := true; more; more = q.After != "" {
				page, err := taggeds.Page(all, db, q)
				require.NoError(t, err)
				seen = append(seen, page.Items[0].TenantID)
				q.After = page.Next
			}
			require.ElementsMatch(t, tenants, seen, order)
		}
		many, err := taggeds.FindMany(all, db, []string{"same"})
		require.NoError(t, err)
		require.Len(t, many, 3)
		list, err := taggeds.List(all, db, record.Query{Order: "tenant_id"})
		require.NoError(t, err)
		list[0].Name = "saved"
		require.NoError(t, taggeds.Save(all, db, &list[0]))
		require.NoError(t, db.Do(all, func(_ context.Context, tx *tenancy.Tx) error {
			list[0].Name = "later"
			return taggeds.SaveLater(tx, &list[0])
		}))
		require.NoError(t, taggeds.Delete(all, db, &list[1]))
		left, err := taggeds.List(all, db, record.Query{Order: "tenant_id"})
		require.NoError(t, err)
		require.Equal(t, []tagged{{"same", 3, "acme", "later"}, {"same", 1, "initech", "initech"}}, left)
	})
}

func TestTableOfNoTenant(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		globex := tenancy.WithID(ctx, "globex")
		s := shared{Key: "k", Name: "a"}
		require.NoError(t, shareds.Save(ctx, db, &s))
		found, err := shareds.Find(globex, db, "k")
		require.NoError(t, err)
		require.Equal(t, s, found)
		require.ErrorIs(t, shareds.Save(globex, db, &shared{Key: "l", Name: "a"}), record.ErrConflict)
		require.NoError(t, shareds.Upsert(globex, db, &shared{Key: "m", Name: "a"}, "name"))
		none := tenancy.System(context.Background(), "test")
		require.NoError(t, shareds.Save(none, db, &shared{Key: "n", Name: "n"}))
		require.NoError(t, shareds.InsertAll(none, db, []shared{{Key: "o", Name: "o"}}))
		page, err := shareds.Page(ctx, db, record.Query{Limit: 1})
		require.NoError(t, err)
		page, err = shareds.Page(ctx, db, record.Query{Limit: 1, After: page.Next})
		require.NoError(t, err)
		require.Equal(t, "n", page.Items[0].Key)
	})
}

func TestReadOnly(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		n := note{Title: "x"}
		require.NoError(t, notes.Save(ctx, db, &n))
		reader := db.With(&tenancy.TxOptions{ReadOnly: true})
		for name, write := range map[string]func() error{
			"save":   func() error { return notes.Save(ctx, reader, &n) },
			"insert": func() error { return notes.Save(ctx, reader, &note{Title: "y"}) },
			"delete": func() error { return notes.Erase(ctx, reader, &n) },
			"lock":   func() error { _, err := notes.List(ctx, reader, record.Query{Lock: record.ForUpdate}); return err },
		} {
			var answer *pgconn.PgError
			require.ErrorAs(t, write(), &answer, name)
			require.Equal(t, "25006", answer.Code, name)
		}
		_, err := notes.Find(ctx, reader, n.ID)
		require.NoError(t, err)
	})
}

// TestNoLostUpdates: units that read, lock and write one record at once add up; so do those that lose and load again.
func TestNoLostUpdates(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		n := note{Title: "x"}
		require.NoError(t, notes.Save(ctx, db, &n))
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				for range 5 {
					for {
						err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
							lock := []record.Lock{record.NoLock, record.ForUpdate}[i%2]
							n, err := notes.First(ctx, tx, record.Query{Where: "id = $1", Args: []any{n.ID}, Lock: lock})
							if err != nil {
								return err
							}
							n.Stars++
							if i%3 == 0 {
								return notes.SaveLater(tx, &n)
							}
							return notes.Save(ctx, tx, &n)
						})
						if err == nil {
							break
						}
						if code := code(err); code != "stale" && code != "40001" {
							assertNoError(t, err)
							return
						}
					}
				}
			})
		}
		group.Wait()
		n, err := notes.Find(ctx, db, n.ID)
		require.NoError(t, err)
		require.Equal(t, int32(30), n.Stars)
		require.Equal(t, int64(31), n.Version)
	})
}

// TestOneWinner: of many records with one unique value, inserted at once, one is there.
func TestOneWinner(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		errs := make([]error, 8)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				errs[i] = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
					if err := notes.Save(ctx, tx, &note{Title: fmt.Sprint(i)}); err != nil {
						return err
					}
					return notes.Save(ctx, tx, &note{Title: fmt.Sprint(i), Slug: ptr("same")})
				})
			})
		}
		group.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				require.ErrorIs(t, err, record.ErrConflict)
			}
		}
		require.Equal(t, 1, won)
		n, err := notes.Count(ctx, db, record.Query{})
		require.NoError(t, err)
		require.Equal(t, int64(2), n, "the losers' other records went with their units")
	})
}

type valid struct {
	ID   string `db:"id,pk,auto"`
	Name string
}

var errInvalid = errors.New("no name")

func (v *valid) Validate() error {
	if v.Name == "" {
		return errInvalid
	}
	return nil
}

func TestValidate(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		table := record.Define[valid]("app.taggeds", nil)
		require.ErrorIs(t, table.Save(ctx, db, &valid{}), errInvalid)
		require.ErrorIs(t, table.InsertAll(ctx, db, []valid{{Name: "a"}, {}}), errInvalid)
		require.ErrorIs(t, table.Upsert(ctx, db, &valid{}, "id"), errInvalid)
		_, err := table.FindOrSave(ctx, db, &valid{}, "id")
		require.ErrorIs(t, err, errInvalid)
		err = db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { return table.SaveLater(tx, &valid{}) })
		require.ErrorIs(t, err, errInvalid)
		n, err := taggeds.Count(ctx, db, record.Query{})
		require.NoError(t, err)
		require.Zero(t, n)
	})
}
