package jobs

import (
	"context"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// contextTenant is the tenant that ctx is bound to, or "": an operator.
func (q *Queue) contextTenant(ctx context.Context) string {
	if q.opts == nil || q.opts.Tenant == nil {
		return ""
	}
	id, _ := q.opts.Tenant(ctx)
	return id
}

// within narrows a filter to the tenant in ctx; false means that it is for
// another one and selects nothing.
func (q *Queue) within(ctx context.Context, f Filter) (Filter, bool) {
	tenant := q.contextTenant(ctx)
	if tenant == "" {
		return f, true
	}
	if f.Tenant != "" && f.Tenant != tenant {
		return f, false
	}
	f.Tenant = tenant
	return f, true
}

// narrow reads a page of those things of a list that are the tenant's in ctx,
// or of all without one. It looks at maxSearch of them at most.
func narrow[T any](
	ctx context.Context, q *Queue, offset, limit int,
	read func(offset, limit int) ([]T, error), tenantOf func(T) string,
) ([]T, error) {
	tenant := q.contextTenant(ctx)
	if tenant == "" || limit < 1 || limit > driver.MaxBatch || offset < 0 { // which read refuses
		return read(offset, limit)
	}
	var own []T
	for seen := 0; seen < maxSearch; seen += driver.MaxBatch {
		page, err := read(seen, driver.MaxBatch)
		if err != nil {
			return nil, err
		}
		for _, thing := range page {
			switch {
			case tenantOf(thing) != tenant:
			case offset > 0:
				offset--
			default:
				own = append(own, thing)
			}
			if len(own) == limit {
				return own, nil
			}
		}
		if len(page) < driver.MaxBatch {
			break
		}
	}
	return own, nil
}
