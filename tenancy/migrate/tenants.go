package migrate

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Target is a tenant with a schema or a database of its own.
type Target struct {
	Tenant string // names it in the central ledger; unique in a call

	// Schema is the search_path of its files, alone: what is elsewhere is written with its schema, so that no file changes
	// another tenant's table, or a shared one, because this one's is missing. Empty means the connection's search_path.
	Schema string

	// Connect opens a connection of the owner of the tenant's own database; it is closed afterwards. That database gets a
	// ledger of its own too, the one of Up. Nil means a connection of the pool.
	Connect func(ctx context.Context) (*pgx.Conn, error)
}

// TenantsOptions configures UpTenants. A nil *TenantsOptions and the zero value mean the defaults.
type TenantsOptions struct {
	// Workers is how many tenants are migrated at the same time, each on a connection. Zero or negative means 4. The size of
	// the pool is the limit.
	Workers int

	// LockTimeout is that of Options, for the whole of a tenant. Zero means 5 s. Negative means no limit.
	LockTimeout time.Duration

	// CreateSchemas creates a Target.Schema that does not exist. False means that it is an error.
	CreateSchemas bool

	// DryRun visits nobody: the results say what would be applied. False means that UpTenants applies it.
	DryRun bool

	// Progress is called after each tenant, by one goroutine at a time. Nil means no calls.
	Progress func(r TenantResult, done, total int)

	// Logger gets a warning of a long wait for another process. Nil means slog.Default().
	Logger *slog.Logger
}

// TenantResult is what UpTenants did for a tenant.
type TenantResult struct {
	Tenant string
	Files  []File // applied by this call; in a dry run those that would be. Empty if it was up to date. Their At is zero.
	Err    error  // why nothing was applied; nil is success. If COMMIT's answer was lost, the next call finds out.
	Took   time.Duration
}

// TenantsError reports that some tenants failed. The others are migrated.
type TenantsError struct {
	Failed []TenantResult // in the order of the targets
	Total  int
}

// Error implements error.
func (e *TenantsError) Error() string {
	return fmt.Sprintf("migrate: %d of %d tenants failed, the others are migrated; %s: %v", len(e.Failed), e.Total, e.Failed[0].Tenant, e.Failed[0].Err)
}

// Unwrap returns the error of each failed tenant.
func (e *TenantsError) Unwrap() []error {
	list := make([]error, len(e.Failed))
	for i, r := range e.Failed {
		list[i] = r.Err
	}
	return list
}

var (
	//go:embed tenants.sql
	tenantsSQL string
	//go:embed tenant_failed.sql
	tenantFailedSQL string
	//go:embed tenant_note.sql
	tenantNoteSQL string
)

// UpTenants applies the pending files of the sources to each target: all of a tenant's files in one transaction, which
// holds its note in the central ledger too. A tenant that fails changes nothing, does not stop the others and is part of a
// *TenantsError; the next call takes up what is missing and visits nobody else. The ledger is in the pool's database; the
// pool is the owner's. Files without transaction are refused.
func UpTenants(ctx context.Context, pool *pgxpool.Pool, targets []Target, sources []Source, opts *TenantsOptions) ([]TenantResult, error) {
	if opts == nil {
		opts = &TenantsOptions{}
	}
	r, err := plan(ctx, pool, targets, sources, opts)
	if err != nil {
		return nil, err
	}
	if !opts.DryRun {
		r.runAll(ctx)
	}
	var failed []TenantResult
	for _, one := range r.results {
		if one.Err != nil {
			failed = append(failed, one)
		}
	}
	if len(failed) > 0 {
		return r.results, &TenantsError{Failed: failed, Total: len(targets)}
	}
	return r.results, nil
}

// fanOut is a call of UpTenants.
type fanOut struct {
	pool    *pgxpool.Pool
	targets []Target
	sets    []*set
	sources []string
	opts    *TenantsOptions
	pending []int // indices of the targets that are behind

	mu      sync.Mutex
	results []TenantResult // one per target
	done    int
}

// plan asks the central ledger, once, who is behind.
func plan(ctx context.Context, pool *pgxpool.Pool, targets []Target, sources []Source, opts *TenantsOptions) (*fanOut, error) {
	sets, err := read(sources)
	if err != nil {
		return nil, err
	}
	r := &fanOut{pool: pool, targets: targets, sets: sets, opts: opts, results: make([]TenantResult, len(targets))}
	for _, s := range sets {
		r.sources = append(r.sources, s.Name)
		if s.Adopt != "" {
			return nil, fmt.Errorf("migrate: source %q: Adopt does not work for tenants; adopt each with Up", s.Name)
		}
		for _, f := range s.files {
			if f.noTx {
				return nil, &FormatError{Source: f.Source, Name: f.Name, Problem: "a tenant is one transaction, so a file without one is refused"}
			}
		}
	}
	names, at := make([]string, len(targets)), map[string]int{}
	for i, t := range targets {
		if _, twice := at[t.Tenant]; twice || t.Tenant == "" {
			return nil, fmt.Errorf("migrate: target %d has no tenant, or %q is given twice", i, t.Tenant)
		}
		names[i], at[t.Tenant], r.results[i].Tenant = t.Tenant, i, t.Tenant
	}
	known, err := r.ledger(ctx, names)
	if err != nil {
		return nil, err
	}
	for i := range targets {
		files, err := missing(sets, known[targets[i].Tenant])
		r.results[i].Files, r.results[i].Err = fileList(files), err
		if len(files) > 0 {
			r.pending = append(r.pending, i)
		}
	}
	return r, nil
}

// ledger reads what tenants have, by tenant, source and name.
func (r *fanOut) ledger(ctx context.Context, tenants []string) (map[string]map[[2]string]string, error) {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: connect: %w", err)
	}
	defer conn.Release()
	c := conn.Conn()
	if !r.opts.DryRun {
		if err := lock(ctx, c, logger(r.opts.Logger)); err != nil { // two processes that create at once would meet
			return nil, err
		}
		_, err := c.PgConn().Exec(ctx, tenantsSQL).ReadAll()
		unlock(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("migrate: create the ledger of tenants: %w", err)
		}
	}
	known := map[string]map[[2]string]string{}
	if r.opts.DryRun {
		var exists bool
		if err := c.QueryRow(ctx, `select to_regclass('ashlar.tenant_migrations') is not null`).Scan(&exists); err != nil || !exists {
			return known, err
		}
	}
	rows, err := c.Query(ctx, `select tenant, source, name, checksum from ashlar.tenant_migrations where tenant = any($1) and source = any($2)`, tenants, r.sources)
	if err != nil {
		return nil, fmt.Errorf("migrate: read the ledger of tenants: %w", err)
	}
	var tenant, source, name, checksum string
	_, err = pgx.ForEachRow(rows, []any{&tenant, &source, &name, &checksum}, func() error {
		if known[tenant] == nil {
			known[tenant] = map[[2]string]string{}
		}
		known[tenant][[2]string{source, name}] = checksum
		return nil
	})
	return known, err
}

// missing returns the files that are not in the ledger, or a *DriftError.
func missing(sets []*set, known map[[2]string]string) (files []*file, err error) {
	found := 0
	for _, s := range sets {
		for _, f := range s.files {
			checksum, ok := known[[2]string{f.Source, f.Name}]
			switch {
			case !ok:
				files = append(files, f)
				continue
			case checksum != f.checksum:
				return nil, &DriftError{Source: f.Source, Name: f.Name}
			}
			found++
		}
	}
	if found == len(known) {
		return files, nil
	}
	for key := range known {
		if !has(sets, key) {
			return nil, &DriftError{Source: key[0], Name: key[1], Missing: true}
		}
	}
	return files, nil
}

func has(sets []*set, key [2]string) bool {
	for _, s := range sets {
		for _, f := range s.files {
			if f.Source == key[0] && f.Name == key[1] {
				return true
			}
		}
	}
	return false
}

func fileList(files []*file) (list []File) {
	for _, f := range files {
		list = append(list, f.File)
	}
	return list
}

func (r *fanOut) runAll(ctx context.Context) {
	workers := r.opts.Workers
	if workers <= 0 {
		workers = 4
	}
	workers = min(workers, len(r.pending), int(r.pool.Config().MaxConns))
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			w := &worker{fanOut: r}
			defer w.release()
			for i := range next {
				w.tenant(ctx, i)
			}
		})
	}
	for _, i := range r.pending {
		select {
		case next <- i:
		case <-ctx.Done():
			r.finish(i, nil, fmt.Errorf("migrate: not begun: %w", context.Cause(ctx)), 0)
		}
	}
	close(next)
	wg.Wait()
}

// finish notes the result of a tenant and tells of it.
func (r *fanOut) finish(i int, files []File, err error, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.results[i].Files, r.results[i].Err, r.results[i].Took = files, err, took
	if r.opts.Progress != nil {
		r.opts.Progress(r.results[i], r.done, len(r.pending))
	}
}
