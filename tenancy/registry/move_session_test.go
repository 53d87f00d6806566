package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

var quiet = slog.New(slog.DiscardHandler)

var entries = fstest.MapFS{"0001_app.sql": {Data: []byte(`
create table counters (tenant_id text not null, key text not null, n int not null, primary key (tenant_id, key));
create table entries (tenant_id text not null, id bigint generated always as identity, key text not null, n int not null, primary key (tenant_id, id));
select tenancy.protect('counters'), tenancy.protect('entries');
`)}}

// counted is the event of the N-th unit on a key.
type counted struct {
	Key string
	N   int
}

func (counted) EventType() string  { return "counted" }
func (c counted) EventKey() string { return c.Key }

// estate is a common database with tenants, and one for acme alone.
type estate struct{ app, system, ownApp, ownSystem string } // connection URLs

func newEstate(t *testing.T) (e estate, pool, own *testenv.PG) {
	pool = testenv.Postgres(t, tenancy.Migrations, registry.Migrations, entries)
	own = testenv.Postgres(t, tenancy.Migrations, registry.Migrations, entries)
	return estate{pool.AppURL, pool.SystemURL, own.AppURL, own.SystemURL}, pool, own
}

// config is Options.Databases.
func (e estate) config(_ context.Context, name string, system bool) (*pgxpool.Config, error) {
	switch {
	case name != "acme":
		return nil, fmt.Errorf("there is no database %q", name)
	case system:
		return pgxpool.ParseConfig(e.ownSystem)
	}
	return pgxpool.ParseConfig(e.ownApp)
}

// program is one process of the program, with what it believes about places.
type program struct {
	db        *tenancy.DB
	directory *registry.Registry
	places    *places
}

// open makes a process; ttl is how long it believes what it knows. Whoever calls closes the DBs by ctx's end.
func (e estate) open(ctx context.Context, ttl time.Duration) (*program, error) {
	app, err := pgxpool.New(ctx, e.app)
	if err != nil {
		return nil, err
	}
	system, err := pgxpool.New(ctx, e.system)
	if err != nil {
		return nil, err
	}
	directory, err := directoryOn(app, system)
	if err != nil {
		return nil, err
	}
	p := &program{directory: directory, places: &places{directory: directory, ttl: ttl, known: map[string]place{}}}
	p.db, err = tenancy.New(app, &tenancy.Options{System: system, Place: p.places.find, Databases: e.config, Logger: quiet})
	context.AfterFunc(ctx, func() { p.db.Close(); app.Close(); system.Close() })
	return p, err
}

func directoryOn(app, system *pgxpool.Pool) (*registry.Registry, error) {
	db, err := tenancy.New(app, &tenancy.Options{System: system, Logger: quiet})
	if err != nil {
		return nil, err
	}
	return registry.New(db, nil)
}

// newMover makes the mover of acme, whose events in the common database go to the projection "test".
func (e estate) newMover(ctx context.Context, archive string) (*mover, error) {
	p, err := e.open(ctx, 0)
	if err != nil {
		return nil, err
	}
	app, err := pgxpool.New(ctx, e.ownApp)
	if err != nil {
		return nil, err
	}
	system, err := pgxpool.New(ctx, e.ownSystem)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { app.Close(); system.Close() })
	there, err := directoryOn(app, system)
	if err != nil {
		return nil, err
	}
	sink, err := outbox.Project(p.db.At(""), "test", func(context.Context, *tenancy.Tx, []outbox.Event) error { return nil })
	return &mover{
		db: p.db, directory: p.directory, there: there, sinks: []outbox.Sink{sink}, to: "acme", archive: archive, key: []byte("key"),
		step: func(string) {},
	}, err
}

// deliveries are what two relays delivered, in the order in which they did.
type deliveries struct {
	mu   sync.Mutex
	list []outbox.Event
	seen map[string]bool
}

// relay runs the relay of one database until ctx ends. An event whose delivery is repeated counts once, when it came first.
func (d *deliveries) relay(ctx context.Context, t *testing.T, running *sync.WaitGroup, db *tenancy.DB) {
	sink, err := outbox.Project(db, "test", func(_ context.Context, _ *tenancy.Tx, events []outbox.Event) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, e := range events {
			if !d.seen[e.ID] {
				d.seen[e.ID] = true
				d.list = append(d.list, e)
			}
		}
		return nil
	})
	require.NoError(t, err)
	relay, err := outbox.New(db, sink, &outbox.Options{MaxPoll: 20 * time.Millisecond, Logger: quiet})
	require.NoError(t, err)
	running.Go(func() {
		if err := relay.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

// of returns the numbers of a tenant's events by key, in the order of their delivery.
func (d *deliveries) of(t *testing.T, tenant string) map[string][]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	numbers := map[string][]int{}
	for _, e := range d.list {
		if e.Tenant == tenant && e.Type == "counted" {
			var c counted
			require.NoError(t, json.Unmarshal(e.Payload, &c))
			numbers[c.Key] = append(numbers[c.Key], c.N)
		}
	}
	return numbers
}

// traffic is what writers and readers of one tenant do and see, all the time.
type traffic struct {
	tenant context.Context

	mu  sync.Mutex
	ids map[int64]counted // of units that were answered with success

	written, read, polite, refused atomic.Int64
}

var errTraffic = errors.New("traffic")

// write adds an entry, polite if it asks the registry first.
func (f *traffic) write(p *program, key string, polite bool) error {
	if polite {
		t, err := p.directory.Get(f.tenant)
		if err == nil {
			err = t.Check(true)
		}
		if errors.Is(err, registry.ErrSuspended) {
			f.polite.Add(1)
			return nil
		}
		if err != nil {
			return err
		}
	}
	var c counted
	var id int64
	err := p.places.do(f.tenant, p.db, func(ctx context.Context, tx *tenancy.Tx) error {
		n, err := tenancy.One[int](ctx, tx, `insert into counters (key, n) values ($1, 1)
			on conflict (tenant_id, key) do update set n = counters.n + 1 returning n`, key)
		if err != nil {
			return err
		}
		c = counted{key, n}
		if first, err := outbox.Once(ctx, tx, "test", fmt.Sprint(key, n)); err != nil || !first {
			return errors.Join(err, fmt.Errorf("%w: %s %d was done before: %t", errTraffic, key, n, !first))
		}
		tx.Emit(c)
		id, err = tenancy.One[int64](ctx, tx, `insert into entries (key, n) values ($1, $2) returning id`, key, n)
		return err
	})
	switch {
	case errors.Is(err, tenancy.ErrReadOnly):
		f.refused.Add(1)
		return nil
	case err != nil:
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids[id] = c
	f.written.Store(int64(len(f.ids)))
	return nil
}

// look reads; it must not see less than what was written before it began.
func (f *traffic) look(p *program) error {
	before := f.written.Load()
	var n int64
	err := p.places.do(f.tenant, p.db, func(ctx context.Context, tx *tenancy.Tx) (err error) {
		n, err = tenancy.One[int64](ctx, tx, `select count(*) from entries`)
		return err
	})
	if err == nil && n < before {
		err = fmt.Errorf("%w: %d entries were written, %d can be read", errTraffic, before, n)
	}
	f.read.Add(1)
	return err
}

// session is a move with its traffic.
type session struct {
	*testing.T
	e           estate
	pool, own   *testenv.PG
	fresh, old  *program // old believes for ever what it has heard first, until the database tells it otherwise
	acme, other *traffic
	events      *deliveries
	stop        func() // the traffic, then the relays
	mu          sync.Mutex
	faults      []error // of traffic
}

func newSession(t *testing.T) *session {
	s := &session{T: t, events: &deliveries{seen: map[string]bool{}}}
	s.e, s.pool, s.own = newEstate(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // t's ends before clean-up
	t.Cleanup(cancel)
	var err error
	s.fresh, err = s.e.open(ctx, 20*time.Millisecond)
	require.NoError(t, err)
	s.old, err = s.e.open(ctx, 24*time.Hour)
	require.NoError(t, err)
	for _, id := range []string{"acme", "globex"} {
		_, err := s.fresh.directory.Create(ctx, registry.NewTenant{ID: id, Slug: id, Owner: "ann"})
		require.NoError(t, err)
	}
	s.acme = &traffic{tenant: tenancy.WithID(t.Context(), "acme"), ids: map[int64]counted{}}
	s.other = &traffic{tenant: tenancy.WithID(t.Context(), "globex"), ids: map[int64]counted{}}

	var relays, clients sync.WaitGroup
	relaying, stopRelays := context.WithCancel(ctx)
	s.events.relay(relaying, t, &relays, s.fresh.db.At(""))
	s.events.relay(relaying, t, &relays, s.fresh.db.At("acme"))
	done := make(chan struct{})
	run := func(do func() error) {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := do(); err != nil {
					s.mu.Lock()
					s.faults = append(s.faults, err)
					s.mu.Unlock()
				}
			}
		})
	}
	for _, f := range []*traffic{s.acme, s.other} {
		run(func() error { return f.write(s.fresh, "shared", true) })
		run(func() error { return f.write(s.fresh, "a", false) })
		run(func() error { return f.write(s.old, "shared", false) })
		run(func() error { return f.look(s.fresh) })
		run(func() error { return f.look(s.old) })
	}
	quieten := sync.OnceFunc(func() { close(done); clients.Wait() })
	end := func() { quieten(); stopRelays(); relays.Wait() }
	t.Cleanup(end) // of a test that failed
	s.stop = func() {
		quieten()
		for _, at := range []string{"", "acme"} {
			s.until("all events are delivered", func() bool { return s.pending(at) == 0 })
		}
		end()
	}
	return s
}

// pending counts the events of all tenants that the sink of a database does not have.
func (s *session) pending(at string) int64 {
	db := s.fresh.db.At(at)
	sink, err := outbox.Project(db, "test", func(context.Context, *tenancy.Tx, []outbox.Event) error { return nil })
	require.NoError(s, err)
	n, err := outbox.Pending(context.Background(), db, sink)
	require.NoError(s, err)
	return n
}

// until waits for something that comes by itself.
func (s *session) until(what string, ok func() bool) {
	s.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		require.True(s, time.Now().Before(end), "waiting until %s", what)
		<-time.After(5 * time.Millisecond)
	}
}

// grows waits until each of the counters has grown by some.
func (s *session) grows(counters ...*atomic.Int64) {
	s.Helper()
	var goals []int64
	for _, c := range counters {
		goals = append(goals, c.Load()+5)
	}
	s.until("traffic goes on", func() bool {
		for i, c := range counters {
			if c.Load() < goals[i] {
				return false
			}
		}
		return true
	})
}

// lost compares a tenant's rows in a database with what its writers were told, and says what is wrong.
func (s *session) lost(f *traffic, pg *testenv.PG) (wrong []string) {
	id, _ := tenancy.IDFrom(f.tenant)
	rows, err := pg.System.Query(context.Background(), `select id, key, n from entries where tenant_id = $1`, id)
	require.NoError(s, err)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		ID  int64
		Key string
		N   int
	}])
	require.NoError(s, err)
	there := map[int64]counted{}
	for _, r := range list {
		there[r.ID] = counted{r.Key, r.N}
	}
	for id, c := range f.ids {
		if there[id] != c {
			wrong = append(wrong, fmt.Sprintf("entry %d %v is lost", id, c))
		}
	}
	if len(there) != len(f.ids) {
		wrong = append(wrong, fmt.Sprintf("%d entries were written, %d are there", len(f.ids), len(there)))
	}
	for key, numbers := range s.events.of(s.T, id) {
		for i, n := range numbers {
			if n != i+1 {
				wrong = append(wrong, fmt.Sprintf("event %d of key %s came as number %d", n, key, i+1))
				break
			}
		}
	}
	delivered := 0
	for _, numbers := range s.events.of(s.T, id) {
		delivered += len(numbers)
	}
	if delivered != len(f.ids) {
		wrong = append(wrong, fmt.Sprintf("%d events were emitted, %d delivered", len(f.ids), delivered))
	}
	return wrong
}

func (s *session) mover() *mover {
	m, err := s.e.newMover(s.Context(), filepath.Join(s.TempDir(), "acme.zip"))
	require.NoError(s, err)
	return m
}
