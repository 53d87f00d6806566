package driver

import "context"

// Filter selects jobs of one state, which must be named: that of a zero Filter
// is an error. An empty Kind, Tenant or Error selects all.
type Filter struct {
	State   State
	Kind    string
	Tenant  string
	Error   string // a part of the last error's text, in these letters
	Retried bool   // only those beyond their first attempt: of Scheduled ones, those that wait for another
}

// Sweeper is what a Driver may offer to act on all jobs that a filter selects:
// they are looked for first, a page at a time, and then resolved by their ids,
// so that no job is taken twice by one pass, and a pass ends.
type Sweeper interface {
	// Match pages through the ids of the jobs that a filter selects, at most
	// MaxBatch at a time; a page may be empty. The first cursor is "", the next
	// of the last page is "". A job that matches from the first call on until its
	// page was answered is in one page. What begins to match meanwhile may be in
	// one; the pages end all the same. Dead jobs come in the order of their deaths.
	Match(ctx context.Context, f Filter, cursor string) (ids []string, next string, err error)

	// ResolveMatching is Resolve for those of the ids, at most MaxBatch, whose
	// jobs match when it is their turn, and leaves the others alone. It must work
	// on a full store.
	ResolveMatching(ctx context.Context, ids []string, f Filter, how Resolution) (int, error)
}
