package tenancy

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

const (
	minSecret = 32 // bytes, the strength of HMAC-SHA256
	maxKid    = 32
)

// Seal is a key that makes the tenant of a transaction unforgeable: with Options.Seal the tenant travels with an
// HMAC-SHA256 that tenancy.tenant_id() verifies in the database, so injected SQL that calls set_config can name no other
// tenant. It is made by NewSeal and immutable. It prints as its key id; the secret cannot be read back from it.
//
// A process that holds the key can act for any tenant, and so can whoever reads the table tenancy.seal_key, backups
// included. A sealed value that was observed works for its own tenant until the key is retired.
type Seal struct {
	kid string
	// Functions, because no printer, however curious, prints what they close over.
	key func() [sha256.BlockSize]byte
	mac func(message []byte) []byte
}

// NewSeal returns the seal with the key id kid, 1 to 32 of a-z, 0-9, _ and -, and a secret of at least 32 random bytes.
// The secret is copied.
func NewSeal(kid string, secret []byte) (*Seal, error) {
	if !validKid(kid) {
		return nil, fmt.Errorf("tenancy: the key id of a seal is 1 to %d of a-z, 0-9, _ and -", maxKid)
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("tenancy: the secret of a seal has %d bytes, want at least %d random ones", len(secret), minSecret)
	}
	if len(secret) > sha256.BlockSize { // as HMAC says
		sum := sha256.Sum256(secret)
		secret = sum[:]
	}
	var key [sha256.BlockSize]byte
	copy(key[:], secret)
	macs := sync.Pool{New: func() any { return hmac.New(sha256.New, key[:]) }} // one that was reset costs half
	mac := func(message []byte) []byte {
		h := macs.Get().(hash.Hash)
		defer macs.Put(h)
		h.Reset()
		_, _ = h.Write(message) // never fails
		return h.Sum(nil)
	}
	return &Seal{kid: kid, key: func() [sha256.BlockSize]byte { return key }, mac: mac}, nil
}

func validKid(kid string) bool {
	for _, c := range []byte(kid) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return kid != "" && len(kid) <= maxKid
}

// Kid returns the key id.
func (s *Seal) Kid() string { return s.kid }

// value is the sealed tenant as the database wants it; see migrations/0004_seal.sql. Without a key it is the tenant.
// It is computed for each transaction: that takes less than a microsecond, a cache would have to be bounded and shared.
func (s *Seal) value(tenant string) string {
	if s == nil || tenant == "" {
		return tenant
	}
	message := s.kid + ":" + tenant
	return "\x02" + hex.EncodeToString(s.mac([]byte(message))) + message
}

// pads are the key xored with the pads of HMAC, which is what the database keeps.
func (s *Seal) pads() (inner, outer []byte) {
	key := s.key()
	for _, b := range key {
		inner, outer = append(inner, b^0x36), append(outer, b^0x5c)
	}
	return inner, outer
}

// String returns the key id.
func (s *Seal) String() string {
	if s == nil {
		return "no seal"
	}
	return "seal " + s.kid
}

// Format prints the key id for every verb.
func (s *Seal) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue logs the key id.
func (s *Seal) LogValue() slog.Value { return slog.StringValue(s.String()) }

// check refuses what could not seal, or would show the seals of all tenants to the role that they protect against.
func (s *Seal) check(cfg *pgx.ConnConfig) error {
	switch {
	case s == nil:
		return nil
	case s.key == nil:
		return errors.New("tenancy: the seal was not made by NewSeal")
	case cfg != nil && cfg.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol:
		return errors.New("tenancy: a pool under Options.Seal cannot use the simple protocol, which shows each seal in pg_stat_activity; behind old poolers use QueryExecModeExec")
	}
	return nil
}

// checkOn seals a tenant and lets the database verify it. It returns tenancy.seal_state().
func (s *Seal) checkOn(ctx context.Context, conn *pgxpool.Conn) (state string, err error) {
	var tenant string
	batch := &pgx.Batch{}
	batch.Queue(headSQL, s.value("check"))
	batch.Queue(`select tenancy.seal_state()`).QueryRow(func(row pgx.Row) error { return row.Scan(&state) })
	batch.Queue(`select tenancy.tenant_id()`).QueryRow(func(row pgx.Row) error { return row.Scan(&tenant) })
	err = conn.SendBatch(ctx, batch).Close()
	switch {
	case s != nil && state == "none":
		return state, ErrUnsealed
	case err != nil:
		return state, fmt.Errorf("tenancy: check the seal: %w", err)
	}
	return state, nil
}

// SealOptions configures InstallSeal. A nil *SealOptions and the zero value mean the defaults.
type SealOptions struct {
	// Optional lets the database go on taking unsealed tenants beside sealed ones, so that a running system can be sealed
	// process by process; nothing is protected yet. Install the same seal again without it to finish. It has no effect
	// in a database that already requires a seal. False means that from now on a seal is required.
	Optional bool
}

// InstallSeal makes a database accept seal, and refuse tenants without a seal. db is a pool, connection or transaction of
// the owner, who ran Migrations. It can be repeated; an installed key id with another secret is an error.
//
// Keys are rotated without failing units: install the new seal, give it to all processes (Options.Seal) one by one,
// then RetireSeal the old one. The keys are bind parameters, which a server with log_statement = 'all' writes to its log.
func InstallSeal(ctx context.Context, db interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}, seal *Seal, opts *SealOptions) error {
	if seal == nil {
		return errors.New("tenancy: InstallSeal needs a seal")
	}
	if err := seal.check(nil); err != nil {
		return err
	}
	inner, outer := seal.pads()
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqltext.InstallSeal, seal.kid, inner, outer, opts == nil || !opts.Optional)
		if err == nil && tag.RowsAffected() == 0 {
			err = fmt.Errorf("the key id %s is installed with another secret; give the new secret a new key id", seal.kid)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("tenancy: install seal: %w", err)
	}
	return nil
}

// RetireSeal makes a database refuse what is sealed with the key kid, from the next statement on. db is as for
// InstallSeal. It fails with ErrNotFound for an unknown key, and for the last one, because that would end the protection.
func RetireSeal(ctx context.Context, db interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}, kid string) error {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `lock table tenancy.seal_key in share row exclusive mode`); err != nil {
			return err // two retirements at once could leave no key
		}
		var known, others bool
		if err := tx.QueryRow(ctx, sqltext.RetireSeal, kid).Scan(&known, &others); err != nil {
			return err
		}
		switch {
		case !known:
			return ErrNotFound
		case !others:
			return fmt.Errorf("%s is the last key that is required; install another one first", kid)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("tenancy: retire seal: %w", err)
	}
	return nil
}
