package tenancytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqlexpr"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// Kit is a database for tests, in memory or, made by Postgres, on a server. It is a tenancy.Driver.
type Kit struct {
	db     *tenancy.DB
	t      testing.TB // nil for NewKit
	server *server    // nil in memory

	mu         sync.Mutex // guards the rest
	handlers   map[string]Handler
	cells      map[cell]*version
	rowTables  map[string]*rowTable
	parsed     map[string]sqlexpr.Node // conditions of package record
	parsedSets map[string][]sqlexpr.Assign
	audits     *Table[string, tenancy.AuditEntry]
	commits    int64 // the last commit
	inserts    int64 // the last row
	log        []logged
	faults     []error
	lose       []bool
	trips      int
	open       int
	locks      map[int64]*memTx // advisory locks and who has them
	freed      chan struct{}    // closed when one is free again
}

var _ tenancy.Driver = (*Kit)(nil)

// Handler answers a statement. ctx has the tenant and leads Table to the transaction of the statement. The result is a
// slice of structs (a column per exported field) or of values (one column), a single struct or value for one row,
// Affected, or nil for nothing.
type Handler func(ctx context.Context, args ...any) (any, error)

// Affected is the result of a statement that returns no rows but counts them.
type Affected int64

// ErrConnLost makes FailNext break the connection.
var ErrConnLost = errors.New("tenancytest: connection lost")

// New returns an empty kit that fails t if a unit is still open at its end.
func New(t testing.TB) *Kit {
	k := NewKit()
	k.t = t
	t.Cleanup(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.open != 0 {
			t.Errorf("tenancytest: %d sessions are still in use", k.open)
		}
	})
	return k
}

// NewKit returns an empty kit for programs and examples.
func NewKit() *Kit {
	k := &Kit{
		handlers: map[string]Handler{}, cells: map[cell]*version{}, rowTables: map[string]*rowTable{},
		parsed: map[string]sqlexpr.Node{}, parsedSets: map[string][]sqlexpr.Assign{}, locks: map[int64]*memTx{}, freed: make(chan struct{}),
	}
	k.handleOwn()
	k.handleLocks()
	k.handleAudit()
	k.handleRegistry()
	db, err := tenancy.New(nil, &tenancy.Options{Driver: k})
	if err != nil {
		panic(err) // New accepts every driver
	}
	k.db = db
	return k
}

// Tenant returns a context that acts for the tenant id, in a test one that ends with it.
func (k *Kit) Tenant(id string) context.Context {
	if k.t == nil {
		return tenancy.WithID(context.Background(), id)
	}
	return tenancy.WithID(k.t.Context(), id)
}

// DB returns a DB on the kit with default options. For others, give the kit to tenancy.New as Options.Driver.
func (k *Kit) DB() *tenancy.DB { return k.db }

// Handle gives an answer to a statement, whose text is compared after collapsing white space. It panics if the statement
// has an answer already. Arguments arrive as the code under test passed them.
func (k *Kit) Handle(sql string, h Handler) {
	if k.server != nil {
		return // which answers by itself
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	text := normal(sql)
	if _, dup := k.handlers[text]; dup {
		panic("tenancytest: two handlers for " + text)
	}
	k.handlers[text] = h
}

// FailNext makes the next round trips fail, one per error, before they change anything. Use &pgconn.PgError{Code: "40001"}
// for an answer of the server and ErrConnLost for a broken connection.
func (k *Kit) FailNext(errs ...error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults = append(k.faults, errs...)
}

// LoseCommit makes the connection break at the next COMMIT, after it was done or before.
func (k *Kit) LoseCommit(done bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lose = append(k.lose, done)
}

// RoundTrips returns how many batches were sent.
func (k *Kit) RoundTrips() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trips
}

// Events returns the committed events of all tenants in commit order; on a server in the order in which they were written.
func (k *Kit) Events() []outbox.Event {
	if k.server != nil {
		return k.server.events()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	events := make([]outbox.Event, len(k.log))
	for i, l := range k.log {
		events[i] = l.Event
	}
	return events
}

// Emitted returns the committed events of type T, decoded, in commit order. It panics if one does not decode.
func Emitted[T tenancy.Event](k *Kit) []T {
	var list []T
	for _, e := range k.Events() {
		var v T
		if e.Type != v.EventType() {
			continue
		}
		if err := json.Unmarshal(e.Payload, &v); err != nil {
			panic(fmt.Sprintf("tenancytest: event %s of type %s: %v", e.ID, e.Type, err))
		}
		list = append(list, v)
	}
	return list
}

// Acquire implements tenancy.Driver.
func (k *Kit) Acquire(ctx context.Context, t tenancy.Target) (tenancy.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if k.server != nil {
		return k.acquireOnServer(ctx, t)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open++
	return &session{kit: k, system: t.System}, nil
}

func (k *Kit) acquireOnServer(ctx context.Context, t tenancy.Target) (tenancy.Session, error) {
	s, err := k.server.db.Driver().Acquire(ctx, t)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open++
	return &faulty{Session: s, kit: k}, nil
}

// trip counts a round trip and spends what FailNext ordered.
func (k *Kit) trip() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trips++
	if len(k.faults) == 0 {
		return nil
	}
	err := k.faults[0]
	k.faults = k.faults[1:]
	return err
}

// losing tells whether the answer to the next COMMIT is ordered to get lost, and whether it is done before.
func (k *Kit) losing() (lose, done bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.lose) == 0 {
		return false, true
	}
	return true, k.lose[0]
}

// lost spends what LoseCommit ordered.
func (k *Kit) lost() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lose = k.lose[1:]
}

// logged is a committed event.
type logged struct {
	outbox.Event
	xid int64
}

// cell is one row of one table.
type cell struct {
	table  any // *Table[K, T]
	tenant string
	key    any
}

// version is the committed state of a cell. A deleted row keeps its version, so that a writer of it is noticed.
type version struct {
	value  any
	exists bool
	commit int64
	order  int64 // of the insert
}

// commit applies a transaction or refuses it. The caller does not hold mu.
func (k *Kit) commit(tx *memTx, events []tenancy.Message) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.unlock(tx, 0)
	for c, seen := range tx.seen {
		if tx.checks(c) && k.at(c) != seen {
			return pgError("40001", "could not serialize access due to concurrent update")
		}
	}
	if k.sameKey(tx) {
		return pgError("40001", "could not serialize access due to concurrent insert")
	}
	k.commits++
	for _, w := range tx.writes {
		v := k.cells[w.cell]
		if v == nil {
			v = &version{}
			k.cells[w.cell] = v
		}
		if w.exists && !v.exists {
			k.inserts++
			v.order = k.inserts
		}
		v.value, v.exists, v.commit = w.value, w.exists, k.commits
	}
	for _, e := range events {
		k.log = append(k.log, logged{xid: k.commits, Event: outbox.Event{
			ID: e.ID, Tenant: tx.tenant, Type: e.Type, Key: e.Key, Payload: slices.Clone(e.Body), At: time.Now().UTC(),
		}})
	}
	return nil
}

// position numbers the commits, which is all that an LSN is for.
func (k *Kit) position() tenancy.LSN {
	k.mu.Lock()
	defer k.mu.Unlock()
	return tenancy.LSN(k.commits)
}

// at returns the last commit of a cell. The caller holds mu.
func (k *Kit) at(c cell) int64 {
	if v := k.cells[c]; v != nil {
		return v.commit
	}
	return 0
}

func normal(sql string) string {
	return strings.TrimSuffix(strings.Join(strings.Fields(sql), " "), ";")
}

func pgError(code, message string) *pgconn.PgError {
	return &pgconn.PgError{Severity: "ERROR", Code: code, Message: message}
}
