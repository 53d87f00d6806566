package record_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

type secretPlace struct {
	Room    string `db:"room,pk"`
	Shelf   int    `db:"shelf,pk"`
	Version int64  `db:"version,version"`
	Books   int    `json:"-"`
}

func auditedNotes() *record.Table[note] {
	opts := noteOptions()
	opts.Audited = true
	return record.Define[note]("app.notes", opts)
}

// auditLog returns the entries of ctx's tenant and empties nothing: from tells how many to leave out.
func auditLog(t *testing.T, ctx context.Context, db *tenancy.DB, from int) []string {
	t.Helper()
	id, _ := tenancy.IDFrom(ctx)
	list, err := tenancy.All[tenancy.AuditEntry](ctx, db, sqltext.ListAudit, id, "", "", int64(0), 100)
	require.NoError(t, err)
	text := []string{}
	for i := len(list) - 1 - from; i >= 0; i-- {
		changes, err := json.Marshal(list[i].Changes)
		require.NoError(t, err)
		text = append(text, list[i].Action+" "+list[i].Subject+" "+strings.ReplaceAll(string(changes), " ", ""))
	}
	return text
}

func TestAudited(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		table := auditedNotes()
		n := note{Base: record.Base{ID: "n1"}, Title: "a"}
		require.NoError(t, table.Save(ctx, db, &n))
		log := auditLog(t, ctx, db, 0)
		require.Len(t, log, 1)
		require.Contains(t, log[0], `notes.created notes/n1 {`)
		require.Contains(t, log[0], `"title":{"new":"a"}`)
		require.NotContains(t, log[0], `version`)

		// The old values are the row's, not what the program may have loaded.
		n.Title, n.Stars = "b", 3
		require.NoError(t, table.Save(ctx, db, &n))
		require.Equal(t, int64(2), n.Version)
		require.Equal(t, []string{`notes.changed notes/n1 {"stars":{"old":0,"new":3},"title":{"old":"a","new":"b"},"title_lc":{"old":"a","new":"b"}}`}, auditLog(t, ctx, db, 1))

		stale := n
		stale.Version = 1
		before := stale
		require.ErrorIs(t, table.Save(ctx, db, &stale), tenancy.ErrStale)
		require.Equal(t, before, stale)
		require.Len(t, auditLog(t, ctx, db, 0), 2, "what was not done is not in the log")

		count, err := table.Update(ctx, db, "stars = stars + $1", "stars > 2", 1)
		require.NoError(t, err)
		require.Equal(t, int64(1), count)
		require.Equal(t, []string{`notes.changed notes/n1 {"stars":{"old":3,"new":4}}`}, auditLog(t, ctx, db, 2))
		n, err = table.Find(ctx, db, "n1")
		require.NoError(t, err)

		require.NoError(t, table.Delete(ctx, db, &n))
		require.NoError(t, table.Restore(ctx, db, &n))
		log = auditLog(t, ctx, db, 3)
		require.Regexp(t, `^notes.deleted notes/n1 {"deleted_at":{"old":null,"new":"2.*"}}$`, log[0])
		require.Regexp(t, `^notes.restored notes/n1 {"deleted_at":{"old":"2.*","new":null}}$`, log[1])
		count, err = table.DeleteBy(ctx, db, "true")
		require.NoError(t, err)
		require.Equal(t, int64(1), count)
		require.Regexp(t, `^notes.deleted notes/n1 {"deleted_at":{"old":null,"new":"2.*"}}$`, auditLog(t, ctx, db, 5)[0])
		n, err = table.First(ctx, db, record.Query{WithDeleted: true})
		require.NoError(t, err)
		require.NoError(t, table.Erase(ctx, db, &n))
		require.Contains(t, auditLog(t, ctx, db, 6)[0], `"title":{"old":"b"}`)
		require.NoError(t, table.InsertAll(ctx, db, []note{{Title: "x"}, {Title: "y"}}))
		require.Len(t, auditLog(t, ctx, db, 7), 2)

		// In a unit, entries live and die with their savepoint.
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			_ = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				require.NoError(t, table.Save(ctx, tx, &note{Title: "gone"}))
				return errPlanned
			})
			return table.SaveLater(tx, &note{Title: "later"})
		}))
		log = auditLog(t, ctx, db, 9)
		require.Len(t, log, 1)
		require.Contains(t, log[0], `"title":{"new":"later"}`)

		require.ErrorContains(t, table.Upsert(ctx, db, &note{Title: "x"}, "slug"), "audited")
		err = db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { return table.SaveLater(tx, &n) })
		require.ErrorContains(t, err, "audited")

		secret := record.Define[secretPlace]("app.places", &record.Options{Audited: true})
		require.NoError(t, secret.Save(ctx, db, &secretPlace{Room: "r", Shelf: 1, Books: 4711}))
		require.Equal(t, []string{`places.created places/r/1 {"room":{"new":"r"},"shelf":{"new":1}}`}, auditLog(t, ctx, db, 10))
		p, err := secret.FindBy(ctx, db, "true")
		require.NoError(t, err)
		p.Books = 12
		require.NoError(t, secret.Delete(ctx, db, &p))
		require.Equal(t, []string{`places.deleted places/r/1 {"room":{"old":"r"},"shelf":{"old":1}}`}, auditLog(t, ctx, db, 11))
	})
}
