package migrate_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

func up(t *testing.T, pg *testenv.PG, fs fstest.MapFS, adopt string) ([]migrate.File, error) {
	return migrate.Up(t.Context(), pg.Owner, []migrate.Source{{Name: "app", FS: fs, Adopt: adopt}}, &migrate.Options{Logger: quiet})
}

func tables(t *testing.T, pg *testenv.PG) (list []string) {
	rows, err := pg.Owner.Query(t.Context(), `select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		list = append(list, s)
	}
	require.NoError(t, rows.Err())
	return list
}

func TestGooseFiles(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{
		"1_a.sql":   text("-- a comment\n\n-- +goose Up\ncreate table a (n int);\n-- +goose Down\ndrop table a;\n"),
		"00002.sql": text(""),
		"10_c.sql":  text("-- +goose up\n-- +goose StatementBegin\ncreate function f() returns int language plpgsql as $$\nbegin\n  return 1;\nend $$;\n-- +goose StatementEnd\ninsert into a select f();\n-- +goose down\n-- +goose StatementBegin\ndrop; it;\n-- +goose StatementEnd\n"),
		"9_b.sql":   text("-- +goose NO TRANSACTION\n-- +goose Up\ncreate index concurrently if not exists a_n on a (n);\ncreate index concurrently if not exists a_m on a ((n+1));\n-- +goose StatementBegin\ncreate table b (n int); insert into b values (1);\n-- +goose StatementEnd\nvacuum a;\n-- +goose Down\n"),
		"notes.go":  text("package x"),
	}
	_, err := up(t, pg, app, "")
	var bad *migrate.FormatError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, "00002.sql", bad.Name)
	delete(app, "00002.sql")
	applied, err := up(t, pg, app, "")
	require.NoError(t, err)
	require.Equal(t, []string{"app/1_a.sql", "app/9_b.sql", "app/10_c.sql"}, names(applied), "by number")
	require.Equal(t, []string{"a", "b"}, tables(t, pg))

	app["1_a.sql"] = text("-- +goose Up\ncreate table a (n int);\n-- +goose Down\ndrop table if exists a;\n") // the down part does not count
	_, err = up(t, pg, app, "")
	require.NoError(t, err)
	app["1_a.sql"] = text("-- +goose Up\ncreate table a (n int8);\n-- +goose Down\n")
	_, err = up(t, pg, app, "")
	var drift *migrate.DriftError
	require.ErrorAs(t, err, &drift)
}

func TestGolangMigrateFiles(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{
		"9_a.up.sql":               text("/* it brings its own */ BEGIN;\ncreate table a (n int);\ncreate table b (n int);\nCOMMIT;\n"),
		"9_a.down.sql":             text("drop table a; drop table b;"),
		"10_index.up.sql":          text("-- runs alone\ncreate index concurrently a_n on a (n);"),
		"010000000011_none.up.sql": text(""),
		"readme.txt":               text("x"),
	}
	applied, err := up(t, pg, app, "")
	require.NoError(t, err)
	require.Equal(t, []string{"app/9_a.up.sql", "app/10_index.up.sql", "app/010000000011_none.up.sql"}, names(applied))
	require.Equal(t, []string{"a", "b"}, tables(t, pg))

	app["010000000012_c.up.sql"] = text("begin; create table c (n int); select 1/0; commit;")
	_, err = up(t, pg, app, "")
	require.ErrorContains(t, err, "division by zero")
	require.Equal(t, []string{"a", "b"}, tables(t, pg), "its BEGIN is ours")
	app["010000000012_c.up.sql"] = text("create table c (n int); commit; create table d (n int);")
	_, err = up(t, pg, app, "")
	require.ErrorContains(t, err, "ends the transaction")
}

func TestMalformedFiles(t *testing.T) {
	t.Parallel()
	const goose = "-- +goose Up\nselect 1;\n"
	for name, c := range map[string]struct {
		fs   fstest.MapFS
		want string
	}{
		"plain among goose":     {fstest.MapFS{"1_a.sql": text(goose), "2_b.sql": text("select 1")}, "app/2_b.sql:1: SQL before -- +goose Up"},
		"empty among goose":     {fstest.MapFS{"1_a.sql": text(goose), "2_b.sql": text("-- nothing")}, "app/2_b.sql: has no -- +goose Up"},
		"goose twice":           {fstest.MapFS{"1_a.sql": text(goose), "01_b.sql": text(goose)}, "has the number of"},
		"goose in go":           {fstest.MapFS{"1_a.sql": text(goose), "2_b.go": text("package x")}, "written in Go"},
		"goose up twice":        {fstest.MapFS{"1_a.sql": text(goose + goose)}, "app/1_a.sql:3: a second"},
		"goose down first":      {fstest.MapFS{"1_a.sql": text("-- +goose Down\n" + goose)}, "app/1_a.sql:1: -- +goose Down must follow"},
		"goose open statement":  {fstest.MapFS{"1_a.sql": text(goose + "-- +goose StatementBegin\nselect 2;")}, "app/1_a.sql:3: -- +goose StatementBegin without"},
		"goose end only":        {fstest.MapFS{"1_a.sql": text(goose + "-- +goose StatementEnd\n")}, "without StatementBegin"},
		"goose nested":          {fstest.MapFS{"1_a.sql": text(goose + "-- +goose StatementBegin\n-- +goose StatementBegin\n")}, "not in another one"},
		"goose unknown":         {fstest.MapFS{"1_a.sql": text(goose + "-- +goose Upp\n")}, `no annotation "UPP"`},
		"goose indented":        {fstest.MapFS{"1_a.sql": text(" " + goose)}, "beginning of the line"},
		"goose chatty":          {fstest.MapFS{"1_a.sql": text("-- see +goose Up\n")}, "written -- +goose"},
		"goose envsub":          {fstest.MapFS{"1_a.sql": text("-- +goose ENVSUB ON\n" + goose)}, "ENVSUB"},
		"plain among migrate":   {fstest.MapFS{"1_a.up.sql": text("select 1"), "2_b.sql": text("select 1")}, "app/2_b.sql: is not named"},
		"goose among migrate":   {fstest.MapFS{"1_a.up.sql": text(goose)}, "annotations of a goose file"},
		"migrate twice":         {fstest.MapFS{"1_a.up.sql": text("select 1"), "01_b.up.sql": text("select 1")}, "has the number of"},
		"migrate down twice":    {fstest.MapFS{"1_a.up.sql": text("select 1"), "1_a.down.sql": text(""), "1_b.down.sql": text("")}, "has the number of"},
		"migrate down only":     {fstest.MapFS{"1_a.up.sql": text("select 1"), "2_b.down.sql": text("select 1")}, "app/2_b.down.sql: has no up file"},
		"migrate number":        {fstest.MapFS{"1_a.up.sql": text("select 1"), "99999999999999999999_b.up.sql": text("select 1")}, "is not named"},
		"plain cannot be taken": {fstest.MapFS{"1_a.sql": text("select 1")}, "Adopt needs"},
	} {
		t.Run(name, func(t *testing.T) {
			adopt := ""
			if strings.HasPrefix(name, "plain cannot") {
				adopt = "x"
			}
			_, err := migrate.Up(t.Context(), nil, []migrate.Source{{Name: "app", FS: c.fs, Adopt: adopt}}, nil)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// TestErrorsNameTheLine: that of the file, not that of the text that was sent.
func TestErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	for name, c := range map[string]struct {
		fs   fstest.MapFS
		want string
	}{
		"plain":    {fstest.MapFS{"1.sql": text("-- ü\nselect 1;\nselect nothing;")}, "app/1.sql:3:"},
		"pieces":   {fstest.MapFS{"1.sql": text("-- no-transaction\nselect 1;\n\nselect 1/0;")}, "app/1.sql:4:"},
		"goose":    {fstest.MapFS{"1_a.sql": text("-- +goose Up\n-- +goose StatementBegin\nselect 1;\nselect nothing;\n-- +goose StatementEnd\n")}, "app/1_a.sql:4:"},
		"goose no": {fstest.MapFS{"1_a.sql": text("-- +goose NO TRANSACTION\n-- +goose Up\nselect 1;\n-- +goose StatementBegin\nselect 2;\n-- +goose StatementEnd\n\n\nselect 1/0;\n")}, "app/1_a.sql:9:"},
	} {
		_, err := up(t, pg, c.fs, "")
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestAdoptGoose(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	_, err := pg.Owner.Exec(t.Context(), `create table goose_db_version (id int generated by default as identity primary key,
		version_id bigint not null, is_applied boolean not null, tstamp timestamp not null default now());
		insert into goose_db_version (version_id, is_applied) values (0, true), (1, true), (3, true), (2, true), (3, false);
		create table a (n int)`)
	require.NoError(t, err)
	app := fstest.MapFS{
		"1_a.sql": text("-- +goose Up\ncreate table a (n int);\n"), "2_b.sql": text("-- +goose Up\nselect 1/0;\n"),
		"3_c.sql": text("-- +goose Up\ncreate table c (n int);\n"),
	}
	_, err = up(t, pg, app, "")
	require.ErrorIs(t, err, migrate.ErrNotAdopted)

	source := []migrate.Source{{Name: "app", FS: app, Adopt: "goose_db_version"}}
	list, err := migrate.Status(t.Context(), pg.Owner, source, nil)
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, false}, []bool{list[0].Adopted, list[1].Adopted, list[2].Adopted})
	require.Zero(t, list[0].At)

	_, err = up(t, pg, fstest.MapFS{"1_a.sql": app["1_a.sql"]}, "public.goose_db_version")
	var drift *migrate.DriftError
	require.ErrorAs(t, err, &drift, "2 is gone")
	require.Equal(t, "2", drift.Name)

	applied, err := up(t, pg, app, "public.goose_db_version")
	require.NoError(t, err)
	require.Equal(t, []string{"app/1_a.sql", "app/2_b.sql", "app/3_c.sql"}, names(applied))
	require.Equal(t, []bool{true, true, false}, []bool{applied[0].Adopted, applied[1].Adopted, applied[2].Adopted})
	require.Equal(t, []string{"a", "c", "goose_db_version"}, tables(t, pg))
	list, err = migrate.Status(t.Context(), pg.Owner, source, nil)
	require.NoError(t, err)
	require.True(t, list[0].Adopted)
	require.NotZero(t, list[0].At)
	applied, err = up(t, pg, app, "public.goose_db_version") // the table counts once
	require.NoError(t, err)
	require.Empty(t, applied)
}

func TestAdoptGolangMigrate(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{
		"1_a.up.sql": text("select 1/0"), "1_a.down.sql": text(""), "20_b.up.sql": text("select 1/0"), "100_c.up.sql": text("create table c (n int)"),
	}
	_, err := pg.Owner.Exec(t.Context(), `create schema ops; create table ops."My Versions" (version bigint not null primary key, dirty boolean not null);
		insert into ops."My Versions" values (20, true)`)
	require.NoError(t, err)
	_, err = up(t, pg, app, `ops."My Versions"`)
	require.ErrorIs(t, err, migrate.ErrDirty)
	_, err = pg.Owner.Exec(t.Context(), `update ops."My Versions" set dirty = false`)
	require.NoError(t, err)
	applied, err := up(t, pg, app, `ops."My Versions"`)
	require.NoError(t, err)
	require.Equal(t, []string{"app/1_a.up.sql", "app/20_b.up.sql", "app/100_c.up.sql"}, names(applied))
	require.Equal(t, []string{"c"}, tables(t, pg))

	app["2_late.up.sql"] = text("create table late (n int)") // golang-migrate would never run it
	applied, err = up(t, pg, app, `ops."My Versions"`)
	require.NoError(t, err)
	require.Equal(t, []string{"app/2_late.up.sql"}, names(applied))

	fresh := testenv.Postgres(t)                                                            // nothing to adopt
	_, err = fresh.Owner.Exec(t.Context(), `create table schema_migrations (version text)`) // somebody else's
	require.NoError(t, err)
	applied, err = up(t, fresh, fstest.MapFS{"1_a.up.sql": text("create table a (n int)")}, "schema_migrations")
	require.NoError(t, err)
	require.Len(t, applied, 1)
	require.False(t, applied[0].Adopted)
}

func FuzzFiles(f *testing.F) {
	for _, s := range []string{
		"1_a.sql\x00-- +goose Up\nselect 1;\n-- +goose StatementBegin\nx\n-- +goose StatementEnd\n-- +goose Down\n",
		"1_a.sql\x00-- +goose NO TRANSACTION\n-- +goose Up\nselect 1; select $$;$$\n-- +goose StatementBegin\n-- +goose StatementEnd\n",
		"1_a.up.sql\x00begin; select 1; commit", "1_a.sql\x00-- no-transaction\nselect 1", "a.sql\x00\r\n", "1_.up.\x00;",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, content, _ := strings.Cut(s, "\x00")
		source := migrate.Source{Name: "app", FS: fstest.MapFS{name: text(content)}}
		files, err := migrate.Read(source)
		if err != nil {
			return
		}
		for _, f := range files {
			if strings.Count(f.Text, "\n") > strings.Count(content, "\n")+1 {
				t.Fatalf("lines were added: %q of %q", f.Text, content)
			}
			for _, p := range f.Pieces {
				if line := 1 + strings.Count(content, "\n"); p.Line < 1 || p.Line > line+1 {
					t.Fatalf("piece %q at line %d of %d", p.Text, p.Line, line)
				}
				if !strings.Contains(strings.ReplaceAll(content, "\r\n", "\n"), p.Text) {
					t.Fatalf("piece %q is not in %q", p.Text, content)
				}
			}
		}
	})
}
