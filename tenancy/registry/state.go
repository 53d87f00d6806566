package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/ashlar-go/ashlar/tenancy"
)

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

// next are the transitions. Deleting can be called off until the purge ends it.
func (s State) next() []State {
	switch s {
	case Active:
		return []State{Suspended, Archived, Deleting}
	case Suspended:
		return []State{Suspended, Active, Archived, Deleting} // to itself: in the other flavour, or for another reason
	case Archived:
		return []State{Active, Deleting}
	case Deleting:
		return []State{Active, Deleted}
	}
	return nil
}

// verb ends the type of the event of a change to s.
func (s State) verb() string {
	if s == Active {
		return "activated"
	}
	return string(s)
}

// StateChange is an order to SetState.
type StateChange struct {
	To       State
	Reason   string // kept with the tenant and in the audit log; for operators and support
	ReadOnly bool   // with Suspended: reading stays allowed
}

// SetState moves the tenant of ctx to another state, in one unit of work with an event and an audit entry. A tenant that is
// there already, with the same reason and flavour, stays unchanged and emits nothing.
//
//	active → suspended archived deleting      suspended → active archived deleting (and suspended, differently)
//	archived → active deleting                deleting → active until a purge begins, which ends in deleted
//
// Anything else is ErrTransition. What a state means for requests is what Tenant.Check says, if the program asks it: the
// registry stops API keys and invitations of a tenant that is not active by itself, and changes no other behaviour.
func (r *Registry) SetState(ctx context.Context, c StateChange) error {
	if c.To == Deleted {
		return fmt.Errorf("%w: only a purge ends in %s", ErrTransition, Deleted)
	}
	return r.setState(ctx, c)
}

func (r *Registry) setState(ctx context.Context, c StateChange) error {
	if c.ReadOnly && c.To != Suspended {
		return fmt.Errorf("%w: only a suspended tenant can be read-only", ErrTransition)
	}
	if err := checkTexts(c.Reason); err != nil {
		return err
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		t, err := r.locked(ctx, tx)
		if err != nil {
			return err
		}
		if t.State == c.To && t.ReadOnly == c.ReadOnly && t.Reason == c.Reason {
			return nil
		}
		if !slices.Contains(t.State.next(), c.To) {
			return fmt.Errorf("%w from %s to %s", ErrTransition, t.State, c.To)
		}
		a, _ := tenancy.ActorFrom(ctx)
		n, err := tenants.Update(ctx, tx, "state = $1, read_only = $2, reason = $3, state_by = $4, state_at = now()", "id = $5",
			string(c.To), c.ReadOnly, c.Reason, a.ID, t.ID)
		if err != nil {
			return afterPurgeBegan(err)
		}
		if n != 1 {
			return tenancy.ErrStale
		}
		changed(tx, Event{Type: "tenant." + c.To.verb(), Old: string(t.State), New: string(c.To)},
			fields{"state": t.State, "read_only": t.ReadOnly, "reason": t.Reason},
			fields{"state": c.To, "read_only": c.ReadOnly, "reason": c.Reason})
		return nil
	})
}
