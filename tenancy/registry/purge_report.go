package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
)

// ErrPurgeChain reports purge reports that were altered, removed or reordered after they had been written.
var ErrPurgeChain = errors.New("registry: the chain of purge reports is broken")

// PurgeReport says what a purge has deleted. Reports are kept in the database, each with the hash of the one before it.
type PurgeReport struct {
	ID         string // UUID
	Number     int64  // of the finished purges of this database, from 1 without gaps
	Tenant     string
	Reason     string
	Moved      bool `json:",omitempty"` // the tenant lives in another database; see PurgeOptions.Moved
	Actor      tenancy.Actor
	StartedAt  time.Time // by PostgreSQL's clock, UTC; the first attempt's, when the purge was interrupted
	FinishedAt time.Time
	Tables     []PurgedTable // every table that row-level security protects, in the order of deletion
	Kept       []LeftOut     // tables whose rows stay on purpose
	Findings   []LeftOut     // tables that may hold rows of the tenant and that no purge can vouch for
	Previous   string        // Hash of report Number-1; empty for the first one
	Hash       string        // SHA-256 of the report as JSON without this field, hexadecimal
}

// PurgedTable is one table of a PurgeReport.
type PurgedTable struct {
	Name    string // schema.table
	Deleted int64  // rows, counted in the transactions that deleted them
	Left    int64  // rows, counted by the system role after the last deletion; 0 is the proof
}

// seal computes the hash. The text that was hashed is what the database keeps.
func (p *PurgeReport) seal() (text string, err error) {
	p.Hash = ""
	b, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	p.Hash = hex.EncodeToString(sum[:])
	return string(b), nil
}

// PurgeReports returns the reports of all finished purges, oldest first, after checking their chain: ErrPurgeChain tells that
// one was altered or is missing. A report removed from the end shows only to who knows a later one.
// It needs Options.System of the DB.
func (r *Registry) PurgeReports(ctx context.Context) ([]PurgeReport, error) {
	type row struct {
		Report string
		Hash   string
	}
	ctx = tenancy.System(ctx, "reading purge reports")
	rows, err := tenancy.All[row](ctx, r.db, `select report, hash from registry.purges where finished_at is not null order by number`)
	if err != nil {
		return nil, fmt.Errorf("registry: purge reports: %w", err)
	}
	reports := make([]PurgeReport, len(rows))
	previous := ""
	for i, row := range rows {
		p := &reports[i]
		sum := sha256.Sum256([]byte(row.Report))
		if err := json.Unmarshal([]byte(row.Report), p); err != nil {
			return nil, fmt.Errorf("%w: report %d: %w", ErrPurgeChain, i+1, err)
		}
		p.Hash = hex.EncodeToString(sum[:])
		if p.Hash != row.Hash || p.Previous != previous || p.Number != int64(i+1) {
			return nil, fmt.Errorf("%w: at report %d", ErrPurgeChain, i+1)
		}
		previous = p.Hash
	}
	return reports, nil
}
