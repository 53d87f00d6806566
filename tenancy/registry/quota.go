package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// maxQuota bounds amounts, so that their sums stay far from overflowing.
const maxQuota = 1 << 53

// Quota bounds how much of something a tenant has: what SetLimit said, else what its plan says, else Limit. Negative limits
// are no limit. It is a value; the program keeps its quotas in package-level variables.
type Quota struct {
	Name  string           // 1 to 100 of A-Z a-z 0-9 . _ -
	Limit int64            // zero means nothing at all; negative no limit
	Plans map[string]int64 // by Tenant.Plan; nil means that plans make no difference
}

// Usage is how far a quota is used.
type Usage struct{ Used, Limit int64 } // a negative limit is none

// quotaRow is a counter, made by the first Take.
type quotaRow struct {
	Name      string    `db:"name,pk"`
	Used      int64     `db:"used"`
	Own       *int64    `db:"own_limit"`
	Version   int64     `db:"version,version"`
	CreatedAt time.Time `db:"created_at,created"`
	UpdatedAt time.Time `db:"updated_at,updated"`
}

var quotaRows = record.Define[quotaRow]("registry.quotas", nil)

// Take counts n more as used by the tenant of ctx, or refuses with a *QuotaError (ErrQuota) and counts nothing. Call it in
// the unit of work that makes the n things: then they and the count commit together or not at all. The limit is part of
// the statement that counts, so no number of callers at once exceeds it; they take turns until their units end.
// n must be at least 1. Two round trips, one where the quota has no Plans. The first use in a tenant that is being deleted is a
// *StateError.
func (q Quota) Take(ctx context.Context, r *Registry, n int64) error {
	if err := q.check(n); err != nil {
		return err
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		limit, err := q.limit(ctx, r, tx)
		if err != nil {
			return err
		}
		taken, err := q.take(ctx, tx, n, limit)
		if err != nil || taken {
			return err
		}
		row, err := q.row(ctx, r, tx)
		if err != nil {
			return err
		}
		if taken, err = q.take(ctx, tx, n, limit); err != nil || taken {
			return err
		}
		if row.Own != nil {
			limit = *row.Own
		}
		return &QuotaError{What: q.Name, Limit: limit, Used: row.Used, Asked: n}
	})
}

func (q Quota) take(ctx context.Context, tx *tenancy.Tx, n, limit int64) (bool, error) {
	if limit < 0 {
		limit = math.MaxInt64
	}
	affected, err := quotaRows.Update(ctx, tx, "used = used + $1",
		"name = $2 and (own_limit < 0 or used + $1 <= coalesce(own_limit, $3))", n, q.Name, limit)
	return affected == 1, err
}

// Release gives n back. More than is used is an error of the program (ErrMalformed), and gives nothing back.
// It belongs into the unit of work that removes the n things. One round trip.
func (q Quota) Release(ctx context.Context, r *Registry, n int64) error {
	if err := q.check(n); err != nil {
		return err
	}
	affected, err := quotaRows.Update(ctx, r.db, "used = used - $1", "name = $2 and used >= $1", n, q.Name)
	if err == nil && affected == 0 {
		err = fmt.Errorf("%w release of quota %q: %d is more than is used", ErrMalformed, q.Name, n)
	}
	return err
}

// Usage returns how far the quota of the tenant of ctx is used.
func (q Quota) Usage(ctx context.Context, r *Registry) (Usage, error) {
	limit, err := q.limit(ctx, r, r.db)
	if err != nil {
		return Usage{}, err
	}
	row, err := quotaRows.FindBy(ctx, r.db, "name = $1", q.Name)
	if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
		return Usage{}, err
	}
	if row.Own != nil {
		limit = *row.Own
	}
	return Usage{Used: row.Used, Limit: limit}, nil
}

// SetLimit gives the tenant of ctx a limit of its own; negative is no limit, nil takes it away again. A limit below what is
// used takes nothing away: it refuses to take more.
func (q Quota) SetLimit(ctx context.Context, r *Registry, limit *int64) error {
	if err := q.check(1); err != nil {
		return err
	}
	if limit != nil && *limit > maxQuota {
		return fmt.Errorf("%w limit of quota %q: want at most %d", ErrMalformed, q.Name, int64(maxQuota))
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		row, err := q.row(ctx, r, tx)
		if err != nil {
			return err
		}
		if row.Own == limit || row.Own != nil && limit != nil && *row.Own == *limit {
			return nil
		}
		if _, err := quotaRows.Update(ctx, tx, "own_limit = $1", "name = $2", limit, q.Name); err != nil {
			return err
		}
		changed(tx, Event{Type: "quota.changed", Subject: q.Name}, fields{"limit": row.Own}, fields{"limit": limit})
		return nil
	})
}

// row returns the counter, locked, and makes it if this is the first use.
func (q Quota) row(ctx context.Context, r *Registry, tx *tenancy.Tx) (quotaRow, error) {
	query := record.Query{Where: "name = $1", Args: []any{q.Name}, Lock: record.ForUpdate}
	row, err := quotaRows.First(ctx, tx, query)
	if !errors.Is(err, tenancy.ErrNotFound) {
		return row, err
	}
	if _, err := r.living(ctx, tx); err != nil {
		return quotaRow{}, err
	}
	err = r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		return quotaRows.Save(ctx, tx, &quotaRow{Name: q.Name})
	})
	if err != nil && !errors.Is(err, record.ErrConflict) { // somebody else made it meanwhile
		return quotaRow{}, err
	}
	return quotaRows.First(ctx, tx, query)
}

// limit is what plan and program say; a limit of the tenant's own is applied by the statement that counts.
func (q Quota) limit(ctx context.Context, r *Registry, on tenancy.Querier) (int64, error) {
	if q.Plans == nil {
		return q.Limit, nil
	}
	t, err := r.get(ctx, on)
	if err != nil {
		return 0, err
	}
	if limit, ok := q.Plans[t.Plan]; ok {
		return limit, nil
	}
	return q.Limit, nil
}

func (q Quota) check(n int64) error {
	if !settingForm.MatchString(q.Name) || n < 1 || n > maxQuota {
		return fmt.Errorf("%w quota %.40q: want a name of A-Z a-z 0-9 . _ - and an amount of 1 to %d", ErrMalformed, q.Name, int64(maxQuota))
	}
	return nil
}
