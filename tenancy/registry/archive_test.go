package registry_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// house is a database with the tables of testdata/app, which takes sealed tenants only.
type house struct {
	*testenv.PG
	db   *tenancy.DB
	seal *tenancy.Seal
	reg  *registry.Registry
}

func newHouse(t *testing.T, more ...string) *house {
	t.Helper()
	h := &house{PG: testenv.Postgres(t, tenancy.Migrations, registry.Migrations, os.DirFS("testdata/app"))}
	var err error
	h.seal, err = tenancy.NewSeal("k1", []byte(strings.Repeat("a secret", 4)))
	require.NoError(t, err)
	require.NoError(t, tenancy.InstallSeal(t.Context(), h.Owner, h.seal, nil))
	h.db, err = tenancy.New(h.App, &tenancy.Options{System: h.System, Seal: h.seal})
	require.NoError(t, err)
	h.reg, err = registry.New(h.db, nil)
	require.NoError(t, err)
	for _, file := range more {
		_, err := h.Owner.Exec(t.Context(), script(t, file), pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
	}
	return h
}

func script(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	return string(b)
}

// tenant adds a tenant without rows.
func (h *house) tenant(t *testing.T, id string) context.Context {
	t.Helper()
	_, err := h.System.Exec(t.Context(), `insert into registry.tenants (id, tenant_id, slug, version, created_at, updated_at)
		values ($1, $1, $1, 1, now(), now())`, id)
	require.NoError(t, err)
	_, err = h.System.Exec(t.Context(), `insert into registry.names (kind, name, tenant_id) values ('slug', $1, $1)`, id)
	require.NoError(t, err)
	return tenancy.WithID(t.Context(), id)
}

// fill gives a tenant rows in all tables.
func (h *house) fill(t *testing.T, id string) context.Context {
	t.Helper()
	ctx := h.tenant(t, id)
	_, err := h.System.Exec(t.Context(), `insert into registry.members (tenant_id, user_id, role, version, created_at, updated_at)
		select $1, 'user' || i, case i when 1 then 'owner' else 'member' end, 1, '2024-01-01', '2024-01-01' from generate_series(1, 3) i`, id)
	require.NoError(t, err)
	for _, file := range []string{"fill.sql", "fill2.sql", "fill3.sql"} {
		require.NoError(t, h.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, script(t, file), id)
			return err
		}), file)
	}
	return ctx
}

// rows returns every row of a table and tenant as text, without the tenant.
func (h *house) rows(t *testing.T, table, tenantColumn, id string) []string {
	t.Helper()
	rows, err := h.System.Query(t.Context(), `select (to_jsonb("a row") - '`+tenantColumn+`')::text from `+table+` "a row" where `+tenantColumn+` = $1 order by 1`, id)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

// equal fails unless two tenants, of maybe two databases, have the same rows but for their ids and remapped ids.
func equal(t *testing.T, a *house, acme string, b *house, other string) {
	t.Helper()
	for table, column := range map[string]string{
		"app.customers": "tenant_id", "app.orders": "tenant_id", "app.a_lines": "tenant_id", "app.folders": "tenant_id", "app.nodes": "tenant_id",
		"app.teams": "tenant_id", "app.people": "tenant_id", "app.kinds": "tenant_id", `app."Odd table"`: "owner", "registry.members": "tenant_id",
	} {
		want := a.rows(t, table, column, acme)
		require.NotEmpty(t, want, table)
		require.Equal(t, want, b.rows(t, table, column, other), table)
	}
	for _, q := range []string{
		`select coalesce(j::text, '') || n || by from app.kinds where tenant_id = $1 and id = 1`, // JSON with its spaces, digits with their zeros
		`select hint from app.secrets where tenant_id = $1 order by id`,
		`select serial || ' ' || count(*) || ' ' || sum(value) from app.devices d join app.readings r on r.device = d.id and r.tenant_id = d.tenant_id
			where d.tenant_id = $1 group by serial order by serial`,
	} {
		require.Equal(t, a.texts(t, q, acme), b.texts(t, q, other))
		require.NotEmpty(t, b.texts(t, q, other))
	}
}

func (h *house) texts(t *testing.T, query, id string) []string {
	t.Helper()
	rows, err := h.System.Query(t.Context(), query, id)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

// archiveOf exports a tenant.
func (h *house) archiveOf(t *testing.T, ctx context.Context, key string) (*registry.Manifest, []byte) {
	t.Helper()
	var b bytes.Buffer
	m, err := h.reg.Export(registry.Trusted(ctx), &b, &registry.ExportOptions{Key: []byte(key)})
	require.NoError(t, err)
	return m, b.Bytes()
}

func (h *house) load(ctx context.Context, archive []byte, opts *registry.ImportOptions) (*registry.Manifest, error) {
	return h.reg.Import(ctx, bytes.NewReader(archive), int64(len(archive)), opts)
}

// filesOf unpacks an archive.
func filesOf(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	require.NoError(t, err)
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		files[f.Name] = string(text)
	}
	return files
}

func pack(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = io.WriteString(w, text)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

func TestImportUnderANewID(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	acme := h.fill(t, "acme")
	h.fill(t, "globex")
	m, archive := h.archiveOf(t, acme, "")
	require.Equal(t, "acme", m.Tenant)
	copied := h.tenant(t, "acme-2")
	_, err := h.load(copied, archive, nil)
	require.ErrorIs(t, err, registry.ErrCollision, "devices have ids that are unique in the database")
	require.Empty(t, h.rows(t, "app.customers", "tenant_id", "acme-2"), "a failed import leaves nothing behind")

	done, err := h.load(copied, archive, &registry.ImportOptions{Remap: true})
	require.NoError(t, err)
	equal(t, h, "acme", h, "acme-2")
	require.Contains(t, done.Left, registry.LeftOut{Name: "tenancy.audit", Why: "append-only: nobody backdates entries"})
	owners, err := tenancy.One[int64](copied, h.db, `select owners from registry.tenants where slug = 'acme-2'`)
	require.NoError(t, err)
	require.Equal(t, int64(1), owners)
	_, err = h.load(copied, archive, &registry.ImportOptions{Remap: true})
	require.ErrorIs(t, err, registry.ErrNotEmpty)
}

func TestImportIntoAnotherDatabase(t *testing.T) {
	t.Parallel()
	from, to := newHouse(t), newHouse(t)
	acme := from.fill(t, "acme")
	_, archive := from.archiveOf(t, acme, "")
	there := to.tenant(t, "acme")
	_, err := to.load(there, archive, nil)
	require.NoError(t, err)
	equal(t, from, "acme", to, "acme")
	ids := `select id::text from app.devices where tenant_id = $1 union all select id from app.readings where tenant_id = $1 order by 1`
	require.Equal(t, from.texts(t, ids, "acme"), to.texts(t, ids, "acme"), "ids are kept")
	next, err := tenancy.One[int64](there, to.db, `insert into app.orders (total) values (1) returning id`)
	require.NoError(t, err)
	require.Equal(t, int64(301), next, "the sequence has moved past the imported ids")
}

// TestExportHoldsNothingOfOthers reads every byte of an archive, and finds a planted leak by the same reading.
func TestExportHoldsNothingOfOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	acme := h.fill(t, "acme")
	h.fill(t, "globex")
	leaks := func() (names []string) {
		_, archive := h.archiveOf(t, acme, "")
		files := filesOf(t, archive)
		require.Greater(t, len(files), 12)
		for name, text := range files {
			if strings.Contains(text, "globex") {
				names = append(names, name)
			}
			require.NotContains(t, text, "geheim", "a column that the app role cannot read")
		}
		return names
	}
	require.Empty(t, leaks())
	_, err := h.System.Exec(t.Context(), `update app.customers set name = 'of globex' where tenant_id = 'acme' and id = 'c1'`)
	require.NoError(t, err)
	require.Equal(t, []string{"tables/app.customers.ndjson"}, leaks())
}

func TestExportSaysWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "open/0001_open.sql")
	acme := h.fill(t, "acme")
	m, err := h.reg.Export(registry.Trusted(tenancy.System(acme, "test")), io.Discard, &registry.ExportOptions{Skip: []string{"app.kinds", "app.customers.name"}})
	require.NoError(t, err)
	left := map[string]string{}
	for _, l := range m.Left {
		left[l.Name] = l.Why
	}
	for name, why := range map[string]string{
		"tenancy.outbox": "transport", "registry.api_keys": "credentials", "registry.domains": "a host belongs", "app.scores": "not readable",
		"app.secrets.secret": "not readable", "app.forgotten": "no row-level security", "app.half": "no row-level security", "app.summary": "not a table",
		"foreigners.things": "no column left",
		"app.kinds":         "skipped", "app.customers.name": "skipped",
	} {
		require.Contains(t, left[name], why, name)
	}
	for _, mt := range m.Tables {
		require.NotEqual(t, "app.countries", mt.Name)
	}
	_, err = h.reg.Export(registry.Trusted(acme), io.Discard, &registry.ExportOptions{Skip: []string{"app.kindz"}})
	require.ErrorContains(t, err, "app.kindz")
	_, err = h.reg.Export(t.Context(), io.Discard, nil)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
}

// hooked calls a function before the first byte is written.
type hooked struct {
	once sync.Once
	do   func()
}

func (w *hooked) Write(p []byte) (int, error) {
	w.once.Do(w.do)
	return len(p), nil
}

func TestExportIsOneSnapshot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	acme := h.fill(t, "acme")
	add := func() {
		_, err := tenancy.All[string](acme, h.db, `insert into app.kinds (id) values (77) returning ''`)
		require.NoError(t, err)
		_, err = tenancy.All[string](acme, h.db, `insert into app.a_lines (order_id, line, day) select min(id), 77, '2024-01-01' from app.orders returning ''`)
		require.NoError(t, err)
	}
	m, err := h.reg.Export(registry.Trusted(acme), &hooked{do: add}, nil)
	require.NoError(t, err)
	for _, mt := range m.Tables {
		switch mt.Name {
		case "app.kinds":
			require.Equal(t, int64(2), mt.Rows)
		case "app.a_lines":
			require.Equal(t, int64(3600), mt.Rows)
		}
	}
}

func TestBadArchives(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	acme := h.fill(t, "acme")
	_, good := h.archiveOf(t, acme, "key")
	there := h.tenant(t, "there")
	change := func(file, from, to string) []byte {
		files := filesOf(t, good)
		require.Contains(t, files[file], from)
		files[file] = strings.Replace(files[file], from, to, 1)
		return pack(t, files)
	}
	without := func(file string) []byte {
		files := filesOf(t, good)
		delete(files, file)
		return pack(t, files)
	}
	const customers = "tables/app.customers.ndjson"
	signed, unsigned := &registry.ImportOptions{Key: []byte("key")}, &registry.ImportOptions{}
	for name, c := range map[string]struct {
		archive []byte
		opts    *registry.ImportOptions
		want    error
	}{
		"empty":              {nil, unsigned, registry.ErrArchive},
		"truncated":          {good[:len(good)/2], unsigned, registry.ErrArchive},
		"a changed value":    {change(customers, "Customer 1 of", "Customer 2 of"), signed, registry.ErrArchive},
		"an added row":       {change(customers, "\n", "\n{\"id\":\"x\",\"name\":\"y\"}\n"), unsigned, registry.ErrArchive},
		"a missing file":     {without(customers), unsigned, registry.ErrArchive},
		"no manifest":        {without("manifest.json"), unsigned, registry.ErrArchive},
		"no signature":       {without("manifest.hmac"), signed, registry.ErrArchive},
		"another key":        {good, &registry.ImportOptions{Key: []byte("other")}, registry.ErrArchive},
		"a changed manifest": {change("manifest.json", `"Tenant": "acme"`, `"Tenant": "evil"`), signed, registry.ErrArchive},
		"a wrong count":      {change("manifest.json", `"Rows": 40,`, `"Rows": 41,`), unsigned, registry.ErrArchive},
		"another format":     {change("manifest.json", `"Format": 1`, `"Format": 2`), unsigned, registry.ErrArchiveVersion},
		"an unknown field":   {change("manifest.json", `"Format": 1`, `"Format": 1, "Magic": 2`), unsigned, registry.ErrArchive},
		"an unknown table":   {change("manifest.json", `"Name": "app.customers"`, `"Name": "app.clients"`), unsigned, registry.ErrArchiveVersion},
		"a global table":     {change("manifest.json", `"Name": "app.customers"`, `"Name": "app.countries"`), unsigned, registry.ErrArchiveVersion},
		"an unknown column":  {change("manifest.json", `"Name": "name"`, `"Name": "nom"`), unsigned, registry.ErrArchiveVersion},
		"forged names":       {change("manifest.json", `"Name": "app.customers"`, `"Name": "registry.names"`), unsigned, registry.ErrArchiveVersion},
		"forged domains":     {change("manifest.json", `"Name": "app.customers"`, `"Name": "registry.domains"`), unsigned, registry.ErrArchiveVersion},
		"forged keys":        {change("manifest.json", `"Name": "app.customers"`, `"Name": "registry.api_keys"`), unsigned, registry.ErrArchiveVersion},
		"a system table":     {change("manifest.json", `"Name": "app.customers"`, `"Name": "app.scores"`), unsigned, registry.ErrArchiveVersion},
		"the tenant column":  {change("manifest.json", `"Name": "name"`, `"Name": "tenant_id"`), unsigned, registry.ErrArchiveVersion},
		"another type":       {change("manifest.json", `"Type": "text"`, `"Type": "jsonb"`), unsigned, registry.ErrArchiveVersion},
	} {
		_, err := h.load(there, c.archive, c.opts)
		require.ErrorIs(t, err, c.want, name)
		require.Empty(t, h.rows(t, "app.customers", "tenant_id", "there"), name)
	}
	_, err := h.load(t.Context(), good, signed)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = h.load(there, good, &registry.ImportOptions{Skip: []string{"app.nothing"}})
	require.ErrorContains(t, err, "app.nothing")
}

// TestMarksAreNotForged: an archive that its importer cannot tell from a forged one does not say what consumers have done.
func TestMarksAreNotForged(t *testing.T) {
	t.Parallel()
	from, h := newHouse(t), newHouse(t)
	acme := from.tenant(t, "acme")
	once := func(ctx context.Context, db *tenancy.DB) (first bool) {
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) (err error) {
			first, err = outbox.Once(ctx, tx, "billing", "invoice 7")
			return err
		}))
		return first
	}
	require.True(t, once(acme, from.db))
	export := func(key []byte) []byte {
		var b bytes.Buffer
		_, err := from.reg.Export(registry.Trusted(acme), &b, &registry.ExportOptions{Marks: true, Key: key})
		require.NoError(t, err)
		return b.Bytes()
	}
	key := []byte("key")
	unsigned, signed := export(nil), export(key)
	altered := filesOf(t, signed)
	altered["tables/tenancy.inbox.ndjson"] += "\n"
	for name, c := range map[string]struct {
		archive []byte
		opts    *registry.ImportOptions
		want    string // of the error, or "" for none
		first   bool
	}{
		"unsigned":              {unsigned, nil, "name tenancy.inbox in ImportOptions.Skip", true},
		"unsigned, key given":   {unsigned, &registry.ImportOptions{Key: key}, "manifest.hmac", true},
		"unsigned, skipped":     {unsigned, &registry.ImportOptions{Skip: []string{"tenancy.inbox"}}, "", true},
		"signed, not looked at": {signed, nil, "ImportOptions.Key", true},
		"altered":               {pack(t, altered), &registry.ImportOptions{Key: key}, "bytes or hash differ", true},
		"signed":                {signed, &registry.ImportOptions{Key: key}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			there := h.tenant(t, strings.NewReplacer(" ", "-", ",", "").Replace(name))
			_, err := h.load(there, c.archive, c.opts)
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, registry.ErrArchive)
				require.ErrorContains(t, err, c.want)
			}
			require.Equal(t, c.first, once(there, h.db), "the event is not passed over")
		})
	}
}

// FuzzImport reads archives that strangers made: whatever they are, there is an error and nothing else. The database, one in
// memory, refuses what gets that far.
func FuzzImport(f *testing.F) {
	const row = `{"id":"c1","name":null}` + "\n"
	sum := sha256.Sum256([]byte(row))
	manifest := fmt.Sprintf(`{"Format":1,"Tenant":"acme","At":"2024-01-01T00:00:00Z","Server":"15","Tables":[{"Name":"app.customers",
		"File":"f","Tenant":"tenant_id","Columns":[{"Name":"id","Type":"text"},{"Name":"name","Type":"text"}],"Rows":1,"Bytes":%d,"SHA256":"%x"}],"Left":[]}`, len(row), sum)
	pack := func(manifest, file string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, text := range map[string]string{"manifest.json": manifest, "f": file} {
			w, _ := z.Create(name)
			_, _ = io.WriteString(w, text)
		}
		_ = z.Close()
		return b.Bytes()
	}
	f.Add(pack(manifest, row))
	f.Add(pack(`{}`, ``))
	f.Add([]byte("PK"))
	reg, err := registry.New(tenancytest.NewKit().DB(), nil)
	require.NoError(f, err)
	_, err = reg.Import(tenancy.WithID(f.Context(), "t"), bytes.NewReader(pack(manifest, row)), int64(len(pack(manifest, row))), nil)
	require.NotErrorIs(f, err, registry.ErrArchive, "the first seed is sound")
	f.Fuzz(func(t *testing.T, archive []byte) {
		_, err := reg.Import(tenancy.WithID(t.Context(), "t"), bytes.NewReader(archive), int64(len(archive)), nil)
		require.Error(t, err)
	})
}

// heap is a writer that measures the memory in use while somebody writes, its own buffer not counted.
type heap struct {
	bytes.Buffer
	written, seen int64
	most          uint64
}

func (h *heap) Write(p []byte) (int, error) {
	if h.written += int64(len(p)); h.written-h.seen > 256<<10 {
		h.seen = h.written
		h.most = max(h.most, inUse()-uint64(h.Cap()))
	}
	return h.Buffer.Write(p)
}

// ReadAt lets Import measure too.
func (h *heap) ReadAt(p []byte, off int64) (int, error) {
	if h.seen += int64(len(p)); h.seen > 256<<10 {
		h.seen = 0
		h.most = max(h.most, inUse()-uint64(h.Cap()))
	}
	return bytes.NewReader(h.Bytes()).ReadAt(p, off)
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestArchivesNeedLittleMemory is not parallel: it measures the whole process.
func TestArchivesNeedLittleMemory(t *testing.T) {
	h := newHouse(t)
	big, there := h.tenant(t, "big"), h.tenant(t, "there")
	rows := testenv.Rounds(10_000, 200_000) // of a kilobyte
	require.NoError(t, h.db.Do(big, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `insert into app.customers (id, name) select i::text, repeat(md5(i::text) || md5(i::text || 'x') || md5(i::text || 'y'), 10)
			from generate_series(1, $1) i`, rows)
		return err
	}))
	archive := &heap{}
	before := inUse()
	_, err := h.reg.Export(registry.Trusted(big), archive, nil)
	require.NoError(t, err)
	const limit = 6 << 20
	require.NotZero(t, archive.most)
	require.Less(t, archive.most-min(before, archive.most), uint64(limit))
	exported := archive.most
	archive.most = 0
	_, err = h.reg.Import(there, archive, int64(archive.Len()), nil)
	require.NoError(t, err)
	require.NotZero(t, archive.most)
	require.Less(t, archive.most-min(before, archive.most), uint64(limit))
	t.Logf("%d rows, archive of %d MiB: %d and %d KiB above %d", rows, archive.Len()>>20, (int64(exported)-int64(before))>>10, (int64(archive.most)-int64(before))>>10, before>>10)
	var n int
	require.NoError(t, h.System.QueryRow(t.Context(), `select count(*) from app.customers where tenant_id = 'there'`).Scan(&n))
	require.Equal(t, rows, n)
}
