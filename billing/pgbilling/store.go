package pgbilling

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/billing"
)

var (
	//go:embed migrations/*.sql
	migrations embed.FS

	//go:embed sql/ingest.sql
	ingestSQL string
	//go:embed sql/mark.sql
	markSQL string
	//go:embed sql/fence.sql
	fenceSQL string
	//go:embed sql/columns.sql
	columnsSQL string
	//go:embed sql/upsert.sql
	upsertSQL string
	//go:embed sql/adopt.sql
	adoptSQL string
)

// Migrations is the schema "billing", as numbered *.sql files at the root. Run it as the owner of the database, with
// tenancy/migrate or any other runner, after the migrations of package tenancy if there are any: where its schema is,
// the policies call tenancy.tenant_id() themselves. A database that gets it later runs 0002_tenancy.sql once more, else
// registry.Purge and Export do not recognise the tables. A file is one transaction. Creating the roles tenancy_app
// and tenancy_system, if they are missing, needs CREATEROLE.
var Migrations = sub(migrations, "migrations")

func sub(fsys fs.FS, dir string) fs.FS {
	s, err := fs.Sub(fsys, dir)
	if err != nil {
		panic(err) // only for an invalid name
	}
	return s
}

// Store is a billing.Store. Make one with [New]; it is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	opts *Options
}

var _ billing.Store = (*Store)(nil)

// Options of [New]. Nil means all defaults.
type Options struct {
	// Tx finds the caller's open transaction, in which Customer and Subscriptions then read: give
	// tenancy.Pgx. So an entitlement check inside a unit of work costs no second connection. Nil means
	// that reads use the pool.
	Tx func(context.Context) (pgx.Tx, bool)
}

// New takes a pool of a role in tenancy_system; the caller closes it after use. It does no I/O.
func New(pool *pgxpool.Pool, opts *Options) (*Store, error) {
	if pool == nil {
		return nil, errors.New("pgbilling: pool is nil")
	}
	return &Store{pool: pool, opts: opts}, nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func (s *Store) reader(ctx context.Context) querier {
	if s.opts != nil && s.opts.Tx != nil {
		if tx, ok := s.opts.Tx(ctx); ok {
			return tx
		}
	}
	return s.pool
}

// Customer implements billing.Store.
func (s *Store) Customer(ctx context.Context, provider, tenant string) (string, error) {
	return customer(ctx, s.reader(ctx), provider, tenant)
}

func customer(ctx context.Context, q querier, provider, tenant string) (id string, err error) {
	err = q.QueryRow(ctx, `select customer_id from billing.customers where tenant_id = $1 and provider = $2`, tenant, provider).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("pgbilling: customer: %w", billing.ErrNotFound)
	}
	return id, wrap("customer", err)
}

// lock serialises Apply and SaveCustomer per customer: otherwise the one could miss the customer and the
// other the subscription, and neither would bind them.
const lock = `select pg_advisory_xact_lock(hashtextextended('billing ' || $1 || ' ' || $2, 0))`

// SaveCustomer implements billing.Store.
func (s *Store) SaveCustomer(ctx context.Context, provider, tenant, id string) (bound string, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lock, provider, id); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `insert into billing.customers (tenant_id, provider, customer_id) values ($1, $2, $3)
			on conflict (tenant_id, provider) do nothing`, tenant, provider, id)
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "23505" {
			return fmt.Errorf("the customer is another tenant's: %w", billing.ErrConflict)
		}
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			bound = id
			_, err = tx.Exec(ctx, adoptSQL, provider, tenant, id)
			return err
		}
		bound, err = customer(ctx, tx, provider, tenant)
		return err
	})
	if err != nil {
		return "", wrap("save customer", err)
	}
	return bound, nil
}

// Ingest implements billing.Store.
func (s *Store) Ingest(ctx context.Context, e billing.Event) (m billing.Mark, err error) {
	err = s.pool.QueryRow(ctx, ingestSQL, e.Provider, e.ID, e.Type, e.Kind, e.Object, null(e.At)).Scan(&m.Generation, &m.Applied)
	if errors.Is(err, pgx.ErrNoRows) {
		// Known already. A second statement, because the first one's snapshot may predate the row that it lost to.
		err = s.pool.QueryRow(ctx, markSQL, e.Provider, e.Kind, e.Object).Scan(&m.Generation, &m.Applied)
	}
	return m, wrap("ingest", err)
}

// Apply implements billing.Store.
func (s *Store) Apply(ctx context.Context, sub billing.Subscription, gen int64) (c billing.Change, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		c = billing.Change{}
		if _, err := tx.Exec(ctx, lock, sub.Provider, sub.Customer); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, fenceSQL, sub.Provider, billing.KindSubscription, sub.ID, gen)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, columnsSQL+` where provider = $1 and subscription_id = $2`, sub.Provider, sub.ID)
		if err != nil {
			return err
		}
		before, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return err
		}
		if len(before) > 0 {
			c.Before, c.After = before[0], before[0]
		}
		if tag.RowsAffected() == 0 || !c.Before.State.CanBecome(sub.State) {
			return nil
		}
		c.After, c.Stored = sub, true
		return tx.QueryRow(ctx, upsertSQL, sub.Provider, sub.ID, sub.Customer, sub.State, sub.Plan, sub.Price, sub.CancelAtPeriodEnd,
			null(sub.Created), null(sub.PeriodEnd), null(sub.TrialEnd)).Scan(&c.After.Tenant)
	})
	if err != nil {
		return billing.Change{}, wrap("apply", err)
	}
	return c, nil
}

// Subscriptions implements billing.Store.
func (s *Store) Subscriptions(ctx context.Context, provider, tenant string) ([]billing.Subscription, error) {
	rows, err := s.reader(ctx).Query(ctx, columnsSQL+` where tenant_id = $1 and provider = $2
		order by state in ('canceled', 'incomplete_expired'), created_at desc nulls last limit 16`, tenant, provider)
	if err != nil {
		return nil, wrap("subscriptions", err)
	}
	subs, err := pgx.CollectRows(rows, scan)
	return subs, wrap("subscriptions", err)
}

// scan reads the columns of columns.sql.
func scan(row pgx.CollectableRow) (s billing.Subscription, err error) {
	var created, period, trial *time.Time
	err = row.Scan(&s.Provider, &s.ID, &s.Tenant, &s.Customer, &s.State, &s.Plan, &s.Price, &s.CancelAtPeriodEnd, &created, &period, &trial)
	s.Created, s.PeriodEnd, s.TrialEnd = utc(created), utc(period), utc(trial)
	return s, err
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func null(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pgbilling: %s: %w", op, err)
}
