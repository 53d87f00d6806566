// Package sqldb gives database/sql, and with it ent, gorm, bun and everything else that takes a *sql.DB, the tenant-safe
// units of work of package tenancy.
//
// # Usage
//
//	db, err := tenancy.New(pool, nil)
//	std := sqldb.Open(db, nil)                                    // a *sql.DB
//	g, err := gorm.Open(postgres.New(postgres.Config{Conn: std})) // or bun.NewDB(std, pgdialect.New()), entsql.OpenDB("postgres", std)
//	err = g.WithContext(tenancy.WithID(ctx, acme)).Find(&notes).Error
//
// The tenant is the one of the context, so always pass one: ExecContext, QueryContext, BeginTx, gorm's WithContext.
//
// # Consistency
//
// A statement outside of a transaction is a unit of its own and costs one round trip. BeginTx sends nothing; BEGIN and
// the tenant travel with the first statement, so a transaction of n statements costs n+1 round trips, an empty one none.
// Isolation level and read-only are honoured. SAVEPOINT, ROLLBACK TO and RELEASE, as ORMs send them for nested
// transactions, become savepoints of the unit and cost no round trip of their own.
//
// A statement, or a BeginTx, whose context is inside an open unit of the same tenancy.DB joins that unit: its transaction
// is then a savepoint. So ORM code, hand-written SQL, events and hooks share one transaction:
//
//	err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
//		tx.Emit(NoteAdded{ID: n.ID})
//		return g.WithContext(ctx).Create(&n).Error
//	})
//
// The other way round there is no unit to find: tenancy.Emit with the context of an sql.Tx returns tenancy.ErrNoUnit.
// The function given to Do may run again, that of an ORM's Transaction does not.
//
// pgx prepares each new text once per connection, which costs one more round trip. An ORM that writes arguments into the
// text, as bun does, has new texts all the time: give it a pool whose DefaultQueryExecMode is pgx.QueryExecModeExec.
//
// # Tenancy
//
// Rows are those of the context's tenant because the database's policies say so, whatever SQL an ORM makes up. Nothing
// belongs to a session: an sql.Conn is no connection to PostgreSQL but only the right to use one, and statements that would
// outlive their unit (SET without LOCAL, LISTEN, PREPARE, WITH HOLD, temporary tables, BEGIN as text) are refused by their
// first words. That is a guard against accidents; what SQL does from inside, e.g. a call of set_config, is up to
// package tenancy, which sets the tenant anew for each unit. Poolers in transaction mode are safe.
//
// An ORM that writes ON CONFLICT for its primary key, as gorm does for relations, needs a model whose primary key is the
// table's: tenant_id and id.
//
// Changes of the schema are refused too (ORMs' AutoMigrate): tables are made and protected by the owner with package
// migrate, and the application's role must not be able to.
//
// # Errors
//
// tenancy.ErrNoTenant before any I/O when the context has no tenant, as in calls without a context;
// tenancy.ErrTenantMismatch when a context names another tenant than the open transaction's; ErrRefused; errors of
// PostgreSQL as *pgconn.PgError. driver.ErrBadConn is never returned, so database/sql runs nothing twice; what may safely be
// run again, package tenancy runs again.
//
// # Concurrency
//
// An *sql.DB is safe for concurrent use. Connections are those of the pool that package tenancy was given; its size is the
// limit, and SetMaxOpenConns can only lower it. Rows hold a connection until they are closed; within a transaction or a unit
// they must be closed before the next statement, which otherwise fails with tenancy.ErrTxBusy.
package sqldb
