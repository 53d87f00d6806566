package record_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

type state string

type author string

// note has a column of every kind.
type note struct {
	record.Base
	DeletedAt *time.Time
	Title     string
	TitleLC   string `db:"title_lc" expr:"lower(title)"`
	Slug      *string
	Stars     int32
	Ratio     float64
	Due       *time.Time
	Open      bool
	Tags      []string
	Scores    []int64
	Raw       []byte
	Meta      meta
	Extra     map[string]int `db:"extra,null"`
	Author    *author        `db:"author,type=uuid"`
	Price     float64        `db:"price,type=numeric"`
}

type meta struct {
	Color state  `json:"color,omitempty"`
	Sizes []int  `json:"sizes,omitempty"`
	Inner *meta  `json:"inner,omitempty"`
	Text  string `json:"text,omitempty"`
}

func noteOptions() *record.Options {
	return &record.Options{
		SoftDelete: true,
		Unique:     []record.Unique{{Columns: []string{"slug"}, Where: "deleted_at is null", Name: "notes_slug"}},
		Checks:     map[string]string{"notes_title_check": "title <> ''", "notes_stars_check": "stars >= 0"},
	}
}

var notes = record.Define[note]("app.notes", noteOptions())

type line struct {
	ID     int64   `db:"id,pk,auto"`
	NoteID *string `ref:"app.notes"`
	Name   string
	N      int64 `db:"n,readonly" default:"7"`
}

var lines = record.Define[line]("app.lines", &record.Options{Unique: []record.Unique{{Columns: []string{"name"}}}})

type place struct {
	Room    string `db:"room,pk"`
	Shelf   int    `db:"shelf,pk"`
	Version int64  `db:"version,version"`
	Books   int
}

var places = record.Define[place]("app.places", nil)

func postgres(t testing.TB) *testenv.PG {
	return testenv.Postgres(t, tenancy.Migrations, os.DirFS("testdata/migrations"))
}

func openPostgres(t *testing.T) *tenancy.DB {
	pg := postgres(t)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	return db
}

// both runs a test on PostgreSQL and on the in-memory kit: the same answers are the point.
func both(t *testing.T, test func(t *testing.T, db *tenancy.DB, ctx context.Context)) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, openPostgres(t), tenancy.WithID(t.Context(), "acme"))
	})
	t.Run("kit", func(t *testing.T) {
		t.Parallel()
		test(t, tenancytest.New(t).DB(), tenancy.WithID(t.Context(), "acme"))
	})
}

func ptr[T any](v T) *T { return &v }
