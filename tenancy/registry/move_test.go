package registry_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// TestMain makes the test binary a mover too: with "--", "move" or "undo" and what newMover wants it is one that can be killed.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.NArg() == 0 {
		os.Exit(m.Run())
	}
	slog.SetDefault(quiet)
	if err := moverProcess(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// moverProcess moves, or undoes: args are the verb, the four URLs, the archive and the step before which it waits.
func moverProcess(args []string) error {
	ctx, cancel := context.WithCancel(tenancy.WithID(context.Background(), "acme"))
	defer cancel()
	m, err := estate{args[1], args[2], args[3], args[4]}.newMover(ctx, args[5])
	if err != nil {
		return err
	}
	m.step = func(name string) {
		fmt.Println(name)
		if name == args[6] {
			_, _ = fmt.Scanln() // to be killed, or told to go on
		}
	}
	if args[0] == "undo" {
		return m.undo(ctx)
	}
	return m.move(ctx)
}

// TestMoveUnderLoad is the whole session: see docs/moving-a-tenant.md.
func TestMoveUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	a, o := s.acme, s.other
	s.grows(&a.written, &a.read, &o.written, &o.read)
	before := s.belongings()
	m := s.mover()
	var steps []string
	m.step = func(name string) {
		steps = append(steps, name)
		s.grows(&o.written, &o.read, &a.read) // at every step the neighbour works, and acme reads
		switch name {
		case "copy", "switch", "close":
			s.grows(&a.polite, &a.refused)
		}
	}
	require.NoError(t, m.move(a.tenant))
	require.Equal(t, []string{"announce", "lock", "freeze", "deliver", "copy", "switch", "close", "activate", "open"}, steps)
	moved := a.written.Load()
	s.grows(&a.written, &a.read, &o.written, &o.read)
	require.NoError(t, m.move(a.tenant), "again: there is nothing to do")
	s.grows(&a.written, &o.written)
	s.stop()

	require.Empty(t, s.faults)
	require.Zero(t, o.polite.Load()+o.refused.Load(), "the neighbour has noticed nothing")
	require.Empty(t, s.lost(a, s.own))
	require.Empty(t, s.lost(o, s.pool))
	s.stillHas(before)
	s.clears(m)
	t.Logf("acme: %d units, %d of them after the move, %d reads; refused: %d by the registry, %d by the database; neighbour: %d units, %d reads; %d events",
		a.written.Load(), a.written.Load()-moved, a.read.Load(), a.polite.Load(), a.refused.Load(), o.written.Load(), o.read.Load(), len(s.events.list))
}

// TestMoveWithoutItsFences plants the faults: what a move loses whose steps do not ask the database.
func TestMoveWithoutItsFences(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.grows(&s.acme.written, &s.acme.read)
	m := s.mover()
	ctx := registry.Trusted(s.acme.tenant)
	require.NoError(t, m.directory.SetState(ctx, registry.StateChange{To: registry.Suspended, ReadOnly: true}))
	_ = m.copy(ctx)          // which sees that the rows differ, if a unit was faster than its second look
	s.grows(&s.acme.written) // by those who do not ask the registry
	require.NoError(t, home.Set(ctx, m.directory, "acme"))
	require.NoError(t, m.directory.SetState(ctx, registry.StateChange{To: registry.Active}))
	s.grows(&s.acme.written)
	s.stop()
	wrong := s.lost(s.acme, s.own)
	require.NotEmpty(t, wrong)
	t.Log(len(wrong), wrong[0])
}

// TestMoveIsKilled at each step, and in the middle of the import; then it is taken up again or undone, under traffic.
func TestMoveIsKilled(t *testing.T) {
	t.Parallel()
	cases := []string{
		"import move", "close undo", "activate move", "open undo", "freeze move", "switch undo",
		"announce move", "lock move", "deliver move", "copy move", "switch move", "close move", "open move",
		"announce undo", "lock undo", "freeze undo", "deliver undo", "copy undo", "import undo", "activate undo",
	}
	for _, name := range cases[:testenv.Rounds(6, len(cases))] {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step, then, _ := strings.Cut(name, " ")
			s := newSession(t)
			s.grows(&s.acme.written, &s.other.written)
			s.kill(step)
			s.grows(&s.other.written, &s.acme.read)
			m, at := s.mover(), s.own
			switch {
			case then == "move", step == "open": // which is too late to undo
				if then == "undo" {
					require.ErrorContains(t, m.undo(s.acme.tenant), "not being moved")
				}
				require.NoError(t, m.move(s.acme.tenant))
			case step == "announce": // nothing has been done yet
				require.ErrorContains(t, m.undo(s.acme.tenant), "not being moved")
				at = s.pool
			default:
				require.NoError(t, m.undo(s.acme.tenant))
				at = s.pool
			}
			s.grows(&s.acme.written, &s.acme.read, &s.other.written)
			s.stop()
			require.Empty(t, s.faults)
			require.Empty(t, s.lost(s.acme, at))
			require.Empty(t, s.lost(s.other, s.pool))
		})
	}
}

// kill starts a mover and kills it before a step, or while it imports.
func (s *session) kill(step string) {
	self, err := os.Executable()
	require.NoError(s, err)
	stop := step
	if step == "import" {
		stop = "copy"
	}
	c := exec.CommandContext(s.Context(), self, "--", "move", s.e.app, s.e.system, s.e.ownApp, s.e.ownSystem, filepath.Join(s.TempDir(), "acme.zip"), stop)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	require.NoError(s, err)
	in, err := c.StdinPipe()
	require.NoError(s, err)
	require.NoError(s, c.Start())
	for name := ""; name != stop; {
		_, err := fmt.Fscanln(out, &name)
		require.NoError(s, err)
	}
	if step == "import" {
		lock, err := s.own.Owner.Begin(s.Context())
		require.NoError(s, err)
		defer func() { require.NoError(s, lock.Rollback(s.Context())) }()
		_, err = lock.Exec(s.Context(), `lock table entries in share mode`)
		require.NoError(s, err)
		_, err = fmt.Fprintln(in)
		require.NoError(s, err)
		s.until("the import waits", func() (waits bool) {
			require.NoError(s, s.own.Owner.QueryRow(s.Context(), `select exists (select from pg_locks where not granted and relation = 'entries'::regclass)`).Scan(&waits))
			return waits
		})
	}
	require.NoError(s, c.Process.Kill())
	require.Error(s, c.Wait())
}

// clears deletes what acme has left behind, so that it could come back.
func (s *session) clears(m *mover) {
	ctx := s.acme.tenant
	n := func(pg *testenv.PG, table, tenant string) (n int64) {
		require.NoError(s, pg.System.QueryRow(ctx, `select count(*) from `+table+` where tenant_id = $1`, tenant).Scan(&n))
		return n
	}
	old, neighbour, members := n(s.pool, "entries", "acme"), n(s.pool, "entries", "globex"), n(s.pool, "registry.members", "acme")
	require.NotZero(s, old)
	require.NotZero(s, members)
	for _, refused := range []struct {
		tenant string
		opts   registry.PurgeOptions
	}{{"acme", registry.PurgeOptions{Moved: true}}, {"acme", registry.PurgeOptions{Grace: -1}}, {"globex", registry.PurgeOptions{Moved: true, Grace: -1}}} {
		_, err := m.directory.Purge(tenancy.WithID(ctx, refused.tenant), "moved", &refused.opts)
		require.ErrorIs(s, err, registry.ErrTransition)
	}
	require.NoError(s, m.db.At("").Restrict(ctx, tenancy.ReadOnly))
	_, err := m.directory.Purge(ctx, "moved", &registry.PurgeOptions{Moved: true, Grace: -1})
	require.ErrorIs(s, err, registry.ErrTransition, "readers may still come")
	require.NoError(s, m.db.At("").Restrict(ctx, tenancy.NoAccess))
	report, err := m.directory.Purge(ctx, "moved", &registry.PurgeOptions{Moved: true, Grace: -1})
	require.NoError(s, err)
	require.True(s, report.Moved)
	require.Contains(s, report.Tables, registry.PurgedTable{Name: "public.entries", Deleted: old})
	require.Zero(s, n(s.pool, "entries", "acme"))
	require.Equal(s, neighbour, n(s.pool, "entries", "globex"))
	require.Equal(s, members, n(s.pool, "registry.members", "acme"))
	require.NotZero(s, n(s.own, "entries", "acme"))
	t, err := m.directory.Get(ctx)
	require.NoError(s, err)
	require.Equal(s, registry.Active, t.State)
	_, err = m.directory.PurgeReports(ctx)
	require.NoError(s, err)

	var archive bytes.Buffer
	_, err = m.there.Export(registry.Trusted(ctx), &archive, &registry.ExportOptions{Skip: stays, Marks: true, Key: m.key})
	require.NoError(s, err)
	_, err = m.directory.Import(ctx, bytes.NewReader(archive.Bytes()), int64(archive.Len()), &registry.ImportOptions{Key: m.key})
	require.NoError(s, err, "nothing is in the way of a move back")
	for _, table := range []string{"entries", "tenancy.inbox"} {
		require.Equal(s, n(s.own, table, "acme"), n(s.pool, table, "acme"), table)
	}
}

// belongings are what acme has besides rows of the program.
type belongings struct {
	key        string
	invitation registry.Secret
	resolver   *registry.Resolver
	log        int
}

// projects is a quota.
var projects = registry.Quota{Name: "projects", Limit: 3}

func (s *session) belongings() (b belongings) {
	reg, ctx := s.fresh.directory, registry.Trusted(s.acme.tenant)
	require.NoError(s, reg.AddMember(ctx, "bob", "member"))
	_, invitation, err := reg.Invite(ctx, registry.NewInvitation{Email: "carl@example.com", Role: "member"})
	require.NoError(s, err)
	_, key, err := reg.CreateKey(ctx, registry.NewKey{Scopes: []string{"*"}})
	require.NoError(s, err)
	require.NoError(s, projects.Take(ctx, reg, 2))
	dns := &tenancytest.DNS{}
	domains, err := reg.Domains(&registry.DomainOptions{DNS: dns})
	require.NoError(s, err)
	d, err := domains.Claim(ctx, "shop.acme.test")
	require.NoError(s, err)
	dns.SetTXT(domains.RecordName(d.Host), d.Token)
	_, err = domains.Verify(ctx, d.ID)
	require.NoError(s, err)
	b.resolver, err = reg.Resolver(&registry.ResolverOptions{TTL: -1, Hosts: []string{"api.example.com"}},
		registry.ByAPIKey(), registry.ByDomain(), registry.BySubdomain("example.com"))
	require.NoError(s, err)
	log, err := reg.AuditLog(ctx, registry.AuditQuery{Limit: 1000})
	require.NoError(s, err)
	b.key, b.invitation, b.log = key.Reveal(), invitation, len(log)
	return b
}

// stillHas compares what acme has after its move: all that the directory holds is where it was.
func (s *session) stillHas(b belongings) {
	reg, ctx := s.fresh.directory, registry.Trusted(s.acme.tenant)
	for _, host := range []string{"acme.example.com", "shop.acme.test", "api.example.com"} {
		r := httptest.NewRequest("GET", "https://"+host+"/", nil)
		r.Header.Set("Authorization", "Bearer "+b.key)
		found, err := b.resolver.Resolve(r)
		require.NoError(s, err, host)
		id, _ := tenancy.IDFrom(found)
		require.Equal(s, "acme", id)
	}
	_, err := reg.Accept(s.Context(), b.invitation.Reveal(), registry.Acceptance{UserID: "carl", Email: "carl@example.com"})
	require.NoError(s, err)
	for user, role := range map[string]string{"ann": registry.Owner, "bob": "member", "carl": "member"} {
		m, err := reg.Member(ctx, user)
		require.NoError(s, err)
		require.Equal(s, role, m.Role)
	}
	require.NoError(s, projects.Take(ctx, reg, 1))
	require.ErrorIs(s, projects.Take(ctx, reg, 1), registry.ErrQuota)
	log, err := reg.AuditLog(ctx, registry.AuditQuery{Limit: 1000})
	require.NoError(s, err)
	require.Greater(s, len(log), b.log)
	ids := slices.Sorted(maps.Keys(s.acme.ids))
	require.NoError(s, s.fresh.db.Do(s.acme.tenant, func(ctx context.Context, tx *tenancy.Tx) error {
		first, err := outbox.Once(ctx, tx, "test", fmt.Sprint("a", 1))
		require.False(s, first, "marks have moved too")
		require.NoError(s, err)
		next, err := tenancy.One[int64](ctx, tx, `insert into entries (key, n) values ('last', 1) returning id`)
		require.Greater(s, next, ids[len(ids)-1])
		return err
	}))
}
