package registry

import "time"

// State is where a tenant is in its life.
type State string

// The states. A tenant begins active; deleted is final.
const (
	Active    State = "active"
	Suspended State = "suspended" // e.g. unpaid; may be read-only instead of closed
	Archived  State = "archived"  // put away by its owner or the operator; data stays
	Deleting  State = "deleting"  // in the grace period, or being purged
	Deleted   State = "deleted"   // a tombstone: the id, the slugs and nothing else
)

// Tenant is a customer of the program. It is a value; changing it changes nothing in the registry.
type Tenant struct {
	ID        string    `db:"id,pk"`
	Slug      string    `db:"slug"`
	Name      string    `db:"name"`
	Plan      string    `db:"plan"`
	State     State     `db:"state"`
	ReadOnly  bool      `db:"read_only"` // of a suspended tenant
	Reason    string    `db:"reason"`    // of the state
	StateBy   string    `db:"state_by"`  // the actor of the last change of state
	StateAt   time.Time `db:"state_at,readonly" default:"now()"`
	Owners    int64     `db:"owners"` // number of members with the role Owner
	Version   int64     `db:"version,version"`
	CreatedAt time.Time `db:"created_at,created"`
	UpdatedAt time.Time `db:"updated_at,updated"`
}

// Check tells whether the tenant may be used, for writing or only for reading: nil or a *StateError.
func (t Tenant) Check(write bool) error {
	if t.State == Active || t.State == Suspended && t.ReadOnly && !write {
		return nil
	}
	return &StateError{Tenant: t.ID, State: t.State, ReadOnly: t.ReadOnly, Reason: t.Reason}
}
