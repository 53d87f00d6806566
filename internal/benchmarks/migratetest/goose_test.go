package migratetest

import (
	"database/sql"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

func gooseFiles() fstest.MapFS {
	return fstest.MapFS{
		"00001_log.sql": text("-- a comment in front\n-- +goose Up\ncreate table log (id int generated always as identity, what text);\ninsert into log (what) values ('one; -- no comment');\n\n-- +goose Down\ndrop table log;\n"),
		"00002_f.sql":   text("-- +goose Up\n-- +goose StatementBegin\ncreate function f() returns trigger language plpgsql as $$\nbegin\n  new.what := new.what || ';';\n  return new;\nend $$;\n-- +goose StatementEnd\ncreate trigger t before insert on log for each row execute function f();\ninsert into log (what)\n  values ('two'); -- trailing\n-- +goose Down\n-- +goose StatementBegin\ndrop function f() cascade;\n-- +goose StatementEnd\n"),
		"10_late.sql":   text("-- +goose Up\ninsert into log (what) values ('ten');\n-- +goose Down\nselect 1;\n"),
		"9_index.sql":   text("-- +goose NO TRANSACTION\n-- +goose Up\ncreate index concurrently log_what on log (what);\ninsert into log (what) values ('nine');\nvacuum log;\n-- +goose Down\ndrop index log_what;\n"),
		"11_empty.sql":  text("-- +goose Up\n-- nothing\n-- +goose Down\n"),
	}
}

func provider(t *testing.T, db *devstack.Database, files fs.FS) (*goose.Provider, error) {
	std := sql.OpenDB(stdlib.GetPoolConnector(db.Owner))
	t.Cleanup(func() { std.Close() })
	return goose.NewProvider(goose.DialectPostgres, std, files)
}

func TestGooseDoesTheSame(t *testing.T) {
	t.Parallel()
	theirs, mine, half := database(t), database(t), database(t)
	p, err := provider(t, theirs, gooseFiles())
	require.NoError(t, err)
	done, err := p.Up(t.Context())
	require.NoError(t, err)
	applied, err := ours(t, mine, gooseFiles(), "")
	require.NoError(t, err)
	require.Len(t, applied, len(done))
	for i, f := range applied {
		require.Equal(t, done[i].Source.Path, f.Name, "the order")
	}
	want := dump(t, theirs)
	require.Equal(t, want, dump(t, mine))

	// A database of goose, wholly and partly migrated, once rolled back.
	_, err = ours(t, theirs, gooseFiles(), "")
	require.ErrorIs(t, err, migrate.ErrNotAdopted)
	applied, err = ours(t, theirs, gooseFiles(), "goose_db_version")
	require.NoError(t, err)
	for _, f := range applied {
		require.True(t, f.Adopted, f.Name)
	}
	require.Equal(t, want, dump(t, theirs))

	p, err = provider(t, half, gooseFiles())
	require.NoError(t, err)
	_, err = p.UpTo(t.Context(), 9)
	require.NoError(t, err)
	_, err = p.Down(t.Context())
	require.NoError(t, err)
	_, err = half.Owner.Exec(t.Context(), `delete from log where what like 'nine%'`)
	require.NoError(t, err)
	applied, err = ours(t, half, gooseFiles(), "goose_db_version")
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, false, false, false}, []bool{
		applied[0].Adopted, applied[1].Adopted, applied[2].Adopted, applied[3].Adopted, applied[4].Adopted,
	})
	require.Equal(t, want, dump(t, half))
}

// TestGooseRefusesTheSame, but for the cases that say otherwise.
func TestGooseRefusesTheSame(t *testing.T) {
	t.Parallel()
	const up = "-- +goose Up\nselect 1;\n"
	for name, c := range map[string]struct {
		files              fstest.MapFS
		gooseTakes, wetake bool
	}{
		"good":                  {fstest.MapFS{"1_a.sql": text(up)}, true, true},
		"case of the word":      {fstest.MapFS{"1_a.sql": text("-- +GOOSE Up\nselect 1;\n")}, false, true}, // a comment for us too, so a plain file
		"lower case":            {fstest.MapFS{"1_a.sql": text("-- +goose up\nselect 1;\n-- +goose statementbegin\nselect 2;\n-- +goose STATEMENTEND\n")}, true, true},
		"no blank":              {fstest.MapFS{"1_a.sql": text("--+goose Up\nselect 1;\n")}, true, true},
		"twice up":              {fstest.MapFS{"1_a.sql": text(up + up)}, false, false},
		"down first":            {fstest.MapFS{"1_a.sql": text("-- +goose Down\n" + up)}, false, false},
		"down twice":            {fstest.MapFS{"1_a.sql": text(up + "-- +goose Down\n-- +goose Down\n")}, false, false},
		"open block":            {fstest.MapFS{"1_a.sql": text(up + "-- +goose StatementBegin\nselect 2;\n")}, false, false},
		"open block down":       {fstest.MapFS{"1_a.sql": text(up + "-- +goose Down\n-- +goose StatementBegin\nselect 2;\n")}, false, false},
		"end without begin":     {fstest.MapFS{"1_a.sql": text(up + "-- +goose StatementEnd\n")}, false, false},
		"block in block":        {fstest.MapFS{"1_a.sql": text(up + "-- +goose StatementBegin\n-- +goose StatementBegin\nselect 2;\n-- +goose StatementEnd\n")}, false, false},
		"unknown":               {fstest.MapFS{"1_a.sql": text(up + "-- +goose Sideways\n")}, false, false},
		"indented":              {fstest.MapFS{"1_a.sql": text(" " + up)}, false, false},
		"sql before":            {fstest.MapFS{"1_a.sql": text("select 1;\n" + up)}, false, false},
		"same number":           {fstest.MapFS{"1_a.sql": text(up), "01_b.sql": text(up)}, false, false},
		"go":                    {fstest.MapFS{"1_a.sql": text(up), "2_b.go": text("package x")}, false, false},
		"go that is none":       {fstest.MapFS{"1_a.sql": text(up), "b.go": text("package x"), "2_b_test.go": text("package x")}, true, true},
		"plain among them":      {fstest.MapFS{"1_a.sql": text(up), "2_b.sql": text("select 1;")}, false, false},
		"no semicolon":          {fstest.MapFS{"1_a.sql": text("-- +goose Up\nselect 1\n-- +goose Down\n")}, false, true}, // it is whole without
		"no number":             {fstest.MapFS{"1_a.sql": text(up), "b.sql": text(up)}, true, false},                      // goose skips it silently
		"environment":           {fstest.MapFS{"1_a.sql": text("-- +goose ENVSUB ON\n" + up)}, true, false},               // decided
		"environment, not used": {fstest.MapFS{"1_a.sql": text("-- +goose ENVSUB OFF\n" + up)}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs, mine := database(t), database(t)
			p, err := provider(t, theirs, c.files)
			if err == nil {
				_, err = p.Up(t.Context())
			}
			require.Equal(t, c.gooseTakes, err == nil, "goose: %v", err)
			_, err = ours(t, mine, c.files, "")
			require.Equal(t, c.wetake, err == nil, "migrate: %v", err)
		})
	}
}
