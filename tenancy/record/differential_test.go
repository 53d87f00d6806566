package record_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// TestConditionsDifferential: a condition selects the same rows of the same data from PostgreSQL and from the kit.
func TestConditionsDifferential(t *testing.T) {
	t.Parallel()
	pg, kit := openPostgres(t), tenancytest.New(t).DB()
	ctx := tenancy.WithID(t.Context(), "acme")
	g := &generator{Rand: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))}
	list := make([]note, 24)
	for i := range list {
		list[i] = note{
			Base:  record.Base{ID: fmt.Sprintf("n%02d", i)},
			Title: "t" + g.word(), Stars: g.Int32N(4), Ratio: float64(g.IntN(4)) / 4, Open: g.IntN(2) == 0,
			Price: float64(g.IntN(4)) / 4, Meta: meta{Color: state(g.word())},
		}
		if g.IntN(3) > 0 {
			list[i].Slug = ptr(fmt.Sprint(g.word(), i))
		}
		if g.IntN(3) > 0 {
			list[i].Due = ptr(time.UnixMicro(int64(g.IntN(3))).UTC())
		}
		for range g.IntN(3) {
			list[i].Tags, list[i].Scores = append(list[i].Tags, g.word()), append(list[i].Scores, g.Int64N(4))
		}
	}
	for _, db := range []*tenancy.DB{pg, kit} {
		require.NoError(t, notes.InsertAll(ctx, db, append([]note{}, list...)))
	}
	some, refused := 0, 0
	n := testenv.Rounds(2000, 100_000)
	for range n {
		where, args := g.condition()
		q := record.Query{Where: where, Args: args, Order: "id"}
		want, wantErr := notes.List(ctx, pg, q)
		got, gotErr := notes.List(ctx, kit, q)
		require.Equal(t, code(wantErr), code(gotErr), "%s %v\npostgres: %v\nkit: %v", where, args, wantErr, gotErr)
		require.Equal(t, ids(want), ids(got), "%s %v", where, args)
		if wantErr != nil {
			refused++
		}
		if len(want) > 0 && len(want) < len(list) {
			some++
		}
	}
	require.Greater(t, some, n/5, "most conditions select something and not everything, or the test shows little")
	require.Less(t, refused, n/10)
}

// code is what two databases must agree on when they refuse.
func code(err error) string {
	var answer *pgconn.PgError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, tenancy.ErrStale):
		return "stale"
	case errors.Is(err, tenancy.ErrNotFound):
		return "not found"
	case errors.As(err, &answer):
		constraint, _ := errors.AsType[*record.ConstraintError](err)
		if constraint != nil {
			return fmt.Sprint(answer.Code, " ", constraint.Table, " ", constraint.Constraint, " ", constraint.Columns)
		}
		return answer.Code
	}
	return err.Error()
}

// planned makes a unit or a savepoint roll back.
var errPlanned = errors.New("planned")

// script is a random sequence of operations, the same for each database that runs it.
type script struct {
	*rand.Rand
	db    *tenancy.DB
	notes *record.Table[note]
	log   []string // what the program was told
	at    int
}

func newScript(seed uint64, db *tenancy.DB, table *record.Table[note]) *script {
	return &script{Rand: rand.New(rand.NewPCG(seed, 1)), db: db, notes: table}
}

func (s *script) say(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }

// bare is a note without what differs between two runs.
func bare(n note) string {
	slug := "-"
	if n.Slug != nil {
		slug = *n.Slug
	}
	return fmt.Sprintf("%s v%d %q %q %d %s deleted %v", n.ID, n.Version, n.Title, n.TitleLC, n.Stars, slug, n.DeletedAt != nil)
}

func (s *script) note() note {
	s.at++
	n := note{Base: record.Base{ID: fmt.Sprintf("n%03d", s.IntN(12))}, Title: []string{"", "a", "B", "c"}[min(s.IntN(12), 3)], Stars: s.Int32N(5) - 1 + min(1, s.Int32N(4))}
	if s.IntN(2) == 0 {
		n.Slug = ptr(fmt.Sprint("s", s.IntN(4)))
	}
	return n
}

// pick loads a random record, deleted or not.
func (s *script) pick(ctx context.Context, q tenancy.Querier) (note, bool) {
	n, err := s.notes.First(ctx, q, record.Query{Where: "id >= $1", Args: []any{fmt.Sprintf("n%03d", s.IntN(12))}, Order: "id", WithDeleted: s.IntN(3) == 0})
	s.say("pick %s %s", bare(n), code(err))
	return n, err == nil
}

func (s *script) step(ctx context.Context, q tenancy.Querier) {
	switch s.IntN(15) {
	case 0, 1, 2:
		n := s.note()
		err := s.notes.Save(ctx, q, &n)
		s.say("insert %s %s", bare(n), code(err))
	case 3, 4:
		if n, ok := s.pick(ctx, q); ok {
			n.Title, n.Stars, n.Version = n.Title+"x", n.Stars+1, n.Version+int64(s.IntN(4)/3)
			err := s.notes.Save(ctx, q, &n)
			s.say("update %s %s", bare(n), code(err))
		}
	case 5:
		if n, ok := s.pick(ctx, q); ok {
			err := s.notes.Delete(ctx, q, &n)
			s.say("delete %s %s", bare(n), code(err))
		}
	case 6:
		if n, ok := s.pick(ctx, q); ok {
			err := []func(context.Context, tenancy.Querier, *note) error{s.notes.Restore, s.notes.Erase}[s.IntN(2)](ctx, q, &n)
			s.say("restore or erase %s %s", bare(n), code(err))
		}
	case 7:
		list := []note{s.note(), s.note(), s.note()}
		err := s.notes.InsertAll(ctx, q, list)
		for _, n := range list {
			s.say("bulk %s", bare(n))
		}
		s.say("bulk %s", code(err))
	case 8:
		n := s.note()
		n.Slug = ptr(fmt.Sprint("s", s.IntN(4)))
		err := s.notes.Upsert(ctx, q, &n, []string{"slug", "id"}[s.IntN(2)])
		s.say("upsert %s %s", bare(n), code(err))
	case 9:
		set := []string{"stars = stars - $1", "title = title || $2::text, stars = $1", "slug = null", "stars = t.stars * 2 + $1"}[s.IntN(4)]
		n, err := s.notes.Update(ctx, q, set, "stars > $1 and title <> $2::text", s.IntN(3), "c")
		s.say("change %d %s", n, code(err))
	case 10:
		n, err := s.notes.DeleteBy(ctx, q, "title like $1", "%xx")
		s.say("delete by %d %s", n, code(err))
	case 11:
		page, err := s.notes.Page(ctx, q, record.Query{Order: []string{"-stars", "slug,title"}[s.IntN(2)], Limit: 3, WithDeleted: s.IntN(2) == 0})
		s.say("page %v %v %s", ids(page.Items), page.Next != "", code(err))
		count, err := s.notes.Count(ctx, q, record.Query{Where: "stars > 1"})
		s.say("count %d %s", count, code(err))
	case 12:
		n := s.note()
		n.Slug = ptr(fmt.Sprint("s", s.IntN(4)))
		created, err := s.notes.FindOrSave(ctx, q, &n, []string{"slug", "id"}[s.IntN(2)])
		s.say("find or save %v %s %s", created, bare(n), code(err))
	case 13:
		s.otherTables(ctx, q)
	case 14:
		list := []note{s.note(), s.note()}
		list[0].Slug, list[1].Slug = ptr(fmt.Sprint("s", s.IntN(4))), ptr(fmt.Sprint("s", s.IntN(4)))
		err := s.notes.UpsertAll(ctx, q, list, "slug")
		s.say("upsert all %s %s %s", bare(list[0]), bare(list[1]), code(err))
	}
}

// otherTables have keys that the database makes or that have two columns, a default, and no tenant. What the database
// counts is not compared: a sequence does not roll back.
func (s *script) otherTables(ctx context.Context, q tenancy.Querier) {
	switch s.IntN(5) {
	case 0:
		l := line{Name: fmt.Sprint("l", s.IntN(5))}
		err := lines.Save(ctx, q, &l)
		s.say("line %s %d %s", l.Name, l.N, code(err))
	case 1:
		l := line{Name: fmt.Sprint("l", s.IntN(5))}
		created, err := lines.FindOrSave(ctx, q, &l, "name")
		s.say("find or save line %v %s %d %s", created, l.Name, l.N, code(err))
	case 2:
		p := place{Room: fmt.Sprint("r", s.IntN(2)), Shelf: s.IntN(2), Books: s.IntN(9)}
		err := []func() error{
			func() error { return places.Save(ctx, q, &p) },
			func() error { return places.Upsert(ctx, q, &p, "room", "shelf") },
		}[s.IntN(2)]()
		s.say("place %+v %s", p, code(err))
	case 3:
		p, err := places.FindBy(ctx, q, "(room, shelf) >= ($1, $2) and books < 7", "r0", 1)
		if errors.Is(err, pgx.ErrTooManyRows) {
			err = errPlanned
		}
		s.say("places %+v %s", p, code(err))
	case 4:
		c := shared{Key: fmt.Sprint("k", s.IntN(3)), Name: fmt.Sprint("n", s.IntN(3))}
		err := shareds.Upsert(ctx, q, &c, []string{"key", "name"}[s.IntN(2)])
		s.say("shared %+v %s", c, code(err))
	}
}

// unit runs steps in a unit of work with savepoints, some of which are rolled back.
func (s *script) unit(ctx context.Context) {
	err := s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		for range 1 + s.IntN(3) {
			switch s.IntN(4) {
			case 0:
				s.unit(ctx)
			case 1:
				if n, ok := s.pick(ctx, tx); ok {
					n.Title = "later"
					s.say("later %v", s.notes.SaveLater(tx, &n))
				}
			default:
				s.step(ctx, tx)
			}
		}
		if s.IntN(4) == 0 {
			return errPlanned
		}
		return nil
	})
	s.say("unit %s", code(s.notes.Explain(err)))
}

// run plays the script and returns what the program saw, the rows of all tenants at the end included.
func (s *script) run(ctx context.Context, steps int) []string {
	for range steps {
		ctx := tenancy.WithID(ctx, []string{"acme", "globex"}[s.IntN(2)])
		if s.IntN(2) == 0 {
			s.step(ctx, s.db)
		} else {
			s.unit(ctx)
		}
	}
	for _, tenant := range []string{"acme", "globex"} {
		list, err := s.notes.List(tenancy.WithID(ctx, tenant), s.db, record.Query{Order: "id", WithDeleted: true})
		for _, n := range list {
			s.say("%s has %s", tenant, bare(n))
		}
		s.say("end %s", code(err))
	}
	return s.log
}

// TestDifferential: the same random operations have the same answers on PostgreSQL and on the kit.
func TestDifferential(t *testing.T) {
	t.Parallel()
	for range testenv.Rounds(8, 300) {
		seed := uint64(time.Now().UnixNano())
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { // which gives its database back
			want := newScript(seed, openPostgres(t), notes).run(t.Context(), 60)
			got := newScript(seed, tenancytest.New(t).DB(), notes).run(t.Context(), 60)
			for i := range min(len(want), len(got)) {
				require.Equal(t, want[i], got[i], "answer %d", i)
			}
			require.Len(t, got, len(want))
		})
	}
}

// TestDifferentialFindsFaults: a kit that was told less than PostgreSQL knows gives itself away.
func TestDifferentialFindsFaults(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*record.Options{
		"no unique index": {SoftDelete: true, Checks: noteOptions().Checks},
		"no predicate":    {SoftDelete: true, Checks: noteOptions().Checks, Unique: []record.Unique{{Columns: []string{"slug"}, Name: "notes_slug"}}},
		"no check":        {SoftDelete: true, Unique: noteOptions().Unique},
		"wrong check":     {SoftDelete: true, Unique: noteOptions().Unique, Checks: map[string]string{"notes_stars_check": "stars > 0", "notes_title_check": "title <> ''"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			planted := record.Define[note]("app.notes", opts)
			db := tenancytest.New(t).DB()
			for seed := range uint64(20) {
				want := newScript(seed, tenancytest.New(t).DB(), notes).run(t.Context(), 60)
				got := newScript(seed, db, planted).run(t.Context(), 60)
				if !slices.Equal(want, got) {
					return
				}
				db = tenancytest.New(t).DB()
			}
			require.Fail(t, "the fault was not found")
		})
	}
}
