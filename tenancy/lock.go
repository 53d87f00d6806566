package tenancy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// Lock takes the advisory lock of that name of the unit's tenant, waiting for it if need be, until the unit ends or the
// savepoint around it is rolled back. Like Defer it travels with the next statement and costs no round trip, so what is
// read afterwards is read under the lock. Tenants never wait for each other. TxOptions.LockTimeout bounds the wait,
// and so does Timeout.
//
// It is for what no row stands for ("invoice-number"); lock rows by SELECT … FOR UPDATE. Under pgx.RepeatableRead and
// pgx.Serializable the unit's snapshot is older than the lock if it had to wait.
func (tx *Tx) Lock(key string) {
	tx.queue(Step{SQL: sqltext.Lock, Args: []any{tx.lockKey(key)}})
}

// TryLock is Lock without waiting; it tells whether the unit has the lock now.
func (tx *Tx) TryLock(ctx context.Context, key string) (bool, error) {
	return One[bool](ctx, tx, sqltext.TryLock, tx.lockKey(key))
}

// lockKey puts the tenant into the 64 bits that PostgreSQL has for a lock.
func (tx *Tx) lockKey(key string) int64 {
	sum := sha256.Sum256([]byte("ashlar lock\x00" + tx.who.tenant + "\x00" + key))
	return int64(binary.BigEndian.Uint64(sum[:]))
}
