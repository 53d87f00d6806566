package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/ashlar-go/ashlar/tenancy"
)

// Options configures Open and Connector. A nil *Options and the zero value mean the defaults.
type Options struct {
	// Tx is for all units, in place of the options of the handle that Open was given. BeginTx overrides its Isolation, and
	// its ReadOnly if asked for. Eager must stay false. The zero value means tenancy's defaults.
	Tx tenancy.TxOptions
}

// ErrRefused reports a statement that would outlive its unit of work or change the schema. It is returned before any I/O.
var ErrRefused = errors.New("sqldb: statement refused")

// Open returns a database whose every statement runs in a unit of work of the tenant of its context. It does no I/O.
// Closing it closes nothing of db. Ping reports whether the server can be reached and db's role is bound by row-level
// security (tenancy.DB.Check); it needs no tenant.
func Open(db *tenancy.DB, opts *Options) *sql.DB { return sql.OpenDB(Connector(db, opts)) }

// Connector is Open for code that wraps connectors, e.g. for tracing.
func Connector(db *tenancy.DB, opts *Options) driver.Connector {
	var o Options
	if opts != nil {
		o = *opts
	}
	if db == nil || o.Tx.Eager {
		panic("sqldb: Open needs a tenancy.DB, and options that are not Eager")
	}
	return &connector{db: db, plain: db.With(&o.Tx), tx: o.Tx}
}

// connector makes connections, which are nothing but a place for a transaction.
type connector struct {
	db    *tenancy.DB
	plain *tenancy.DB // for statements without a transaction
	tx    tenancy.TxOptions
}

// Connect implements driver.Connector.
func (c *connector) Connect(context.Context) (driver.Conn, error) { return &conn{connector: c}, nil }

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return named{} }

// named is the driver of connectors; it cannot open by name, since a name has no tenant.
type named struct{}

// Open implements driver.Driver.
func (named) Open(string) (driver.Conn, error) {
	return nil, errors.New("sqldb: use sqldb.Open; a data source name cannot say which tenant a statement is for")
}
