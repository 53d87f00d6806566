package tenancy

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// replicaWait bounds the wait for a connection to a replica; the primary is a better answer than a longer one.
	replicaWait = time.Second
	// replicaRest is how long a replica that could not be reached is left alone, so that not every read waits for it.
	replicaRest = time.Second
)

// codeBehind is the SQLSTATE of tenancy.require_lsn.
const codeBehind = "TN503"

// errNoReplica sends a unit to the primary.
var errNoReplica = errors.New("no replica can be reached")

// replica is a server that may be late or gone.
type replica struct {
	pool *pgxpool.Pool
	rest atomic.Int64 // until then, in Unix nanoseconds, it is left alone
}

func replicasOf(pools []*pgxpool.Pool) []*replica {
	list := make([]*replica, len(pools))
	for i, p := range pools {
		list[i] = &replica{pool: p}
	}
	return list
}

// acquireReplica returns a connection to any replica.
func acquireReplica(ctx context.Context, list []*replica, seal *Seal) (*pgSession, error) {
	if len(list) == 0 {
		return nil, errNoReplica
	}
	start := rand.IntN(len(list))
	for i := range list {
		r := list[(start+i)%len(list)]
		if time.Now().UnixNano() < r.rest.Load() {
			continue
		}
		within, cancel := context.WithTimeout(ctx, replicaWait)
		conn, err := r.pool.Acquire(within)
		cancel()
		if err == nil {
			return &pgSession{pool: r.pool, conn: conn, seal: seal}, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.rest.Store(time.Now().Add(replicaRest).UnixNano())
	}
	return nil, errNoReplica
}

// onReplica tells whether a unit of who is tried on a replica first.
func (db *DB) onReplica(who identity) bool {
	return db.opts.Replica && !who.system && db.opts.Isolation != pgx.Serializable
}

// run runs attempts until one does not ask to be run again. Only the first one may go to a replica: what it cannot do,
// for whatever reason, the primary can.
func (db *DB) run(ctx context.Context, who identity, attempt func(t Target) (again bool, err error)) error {
	db.core.noteSystem(ctx, who)
	place, err := db.placement(ctx, who)
	if err != nil {
		return err
	}
	target := Target{Tenant: who.tenant, System: who.system, Place: place}
	if db.onReplica(who) && place.Database == "" {
		target.Replica = true
		if again, err := attempt(target); !again {
			return err
		}
		target.Replica = false
		db.core.opts.count(ctx, "tenancy.replica_misses")
	}
	return db.core.retry(ctx, func() (bool, error) { return attempt(target) })
}

// behind tells whether the replica has not come far enough, or there is none.
func behind(err error) bool {
	var answer *pgconn.PgError
	return errors.Is(err, errNoReplica) || errors.As(err, &answer) && answer.Code == codeBehind
}
