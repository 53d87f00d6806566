package guard

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/tenancy"
)

//go:embed audit.sql
var auditSQL string

// Querier is what Audit asks: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx, of any role that may connect.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

var (
	_ Querier = (*pgxpool.Pool)(nil)
	_ Querier = (*pgx.Conn)(nil)
	_ Querier = pgx.Tx(nil)
)

// Options configures an audit. A nil *Options and the zero value mean the defaults.
type Options struct {
	// TenantColumn is the name by which tables with tenants are known. Empty means "tenant_id".
	TenantColumn string

	// Allow lists what is as it is on purpose. Nil means that nothing is. The objects of this library are no findings
	// where they should not be; see own.go for the reasons.
	Allow []Exception

	// Seal is tenancy.Options.Seal of the program that Check is asked for. Nil means that it has none, which a sealed
	// database refuses. Audit does not use it.
	Seal *tenancy.Seal
}

// Exception declares that an object breaks a rule on purpose.
type Exception struct {
	Rule   string // "T18"
	Object string // as in Finding.Object; a * at its end stands for any rest
	Reason string // for the next reviewer; required
}

func (e Exception) covers(f Finding) bool {
	prefix, open := strings.CutSuffix(e.Object, "*")
	return e.Rule == f.Rule && (e.Object == f.Object || open && strings.HasPrefix(f.Object, prefix))
}

func (o *Options) seal() *tenancy.Seal {
	if o == nil {
		return nil
	}
	return o.Seal
}

func (o *Options) column() string {
	if o == nil || o.TenantColumn == "" {
		return "tenant_id"
	}
	return o.TenantColumn
}

// allowed returns what is no finding, or an error that names an exception nobody could review.
func (o *Options) allowed() ([]Exception, error) {
	all := own()
	if o != nil {
		all = append(all, o.Allow...)
	}
	for _, e := range all {
		if severities()[e.Rule] == "" || e.Object == "" || e.Reason == "" {
			return nil, fmt.Errorf("tenancy/guard: Options.Allow needs a rule from T01 to T%02d, an object and a reason, got %+v", len(severities()), e)
		}
	}
	return all, nil
}

// Audit reads the catalog of the database that q leads to and returns what breaks the rules T01 to T24 and is not allowed,
// by rule and object; an empty list is good news. It is one statement, reads no row of any table of yours and changes
// nothing.
func Audit(ctx context.Context, q Querier, opts *Options) ([]Finding, error) {
	allowed, err := opts.allowed()
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, auditSQL, opts.column(), "tenancy_app", "tenancy_system")
	if err != nil {
		return nil, fmt.Errorf("tenancy/guard: audit: %w", err)
	}
	var found []Finding
	var f Finding
	_, err = pgx.ForEachRow(rows, []any{&f.Rule, &f.Object, &f.Problem, &f.Fix}, func() error {
		for _, e := range allowed {
			if e.covers(f) {
				return nil
			}
		}
		f.Severity = severities()[f.Rule]
		found = append(found, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tenancy/guard: audit: %w", err)
	}
	return found, nil
}

// Check is for readiness checks and the start of a program: it fails if the role of the pool is not bound by row-level
// security (tenancy.ErrUnsafeRole, see tenancy.DB.Check) or if Audit finds a Breach or something Weak (*Error). What is
// Slow, and Advice, does not stop a program. Two statements, on one connection each.
func Check(ctx context.Context, pool *pgxpool.Pool, opts *Options) error {
	db, err := tenancy.New(pool, &tenancy.Options{Seal: opts.seal()})
	if err != nil {
		return err
	}
	if err := db.Check(ctx); err != nil {
		return err
	}
	found, err := Audit(ctx, pool, opts)
	if err != nil {
		return err
	}
	var bad []Finding
	for _, f := range found {
		if f.Severity == Breach || f.Severity == Weak {
			bad = append(bad, f)
		}
	}
	if bad != nil {
		return &Error{Findings: bad}
	}
	return nil
}
