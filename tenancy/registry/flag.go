package registry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Flag is a feature that some tenants have, or some users in them. It is a value; the program keeps its flags in
// package-level variables.
type Flag struct {
	Name    string  // 1 to 100 of A-Z a-z 0-9 . _ -
	Percent float64 // of tenants, or of users, that have it where nothing else was set: 0 is nobody, 100 everybody
}

// flagPrefix begins the rows of flags among the settings, whose names have no colon.
const flagPrefix = "flag:"

// On tells whether the flag is on for a unit in the tenant of c, e.g. a user's id; an empty unit asks for the tenant as a
// whole. Who has it keeps it while the percentage grows, and flags choose independently of each other.
func (f Flag) On(c *Config, unit string) bool {
	percent := f.Percent
	if raw, ok := c.own[flagPrefix+f.Name]; ok {
		if json.Unmarshal(raw, &percent) != nil {
			return false // not written by Set: nobody has it
		}
	}
	return bucket(f.Name, c.Tenant.ID+"\x00"+unit) < percent
}

// Set gives the tenant of ctx its own percentage: 100 is on, 0 is off, between them some of its units have it (and, asked
// with an empty unit, the tenant has it or not). Outside of 0 to 100 is ErrMalformed; a tenant that is being deleted takes none
// (*StateError).
func (f Flag) Set(ctx context.Context, r *Registry, percent float64) error {
	if !settingForm.MatchString(f.Name) || !(percent >= 0 && percent <= 100) {
		return fmt.Errorf("%w flag %.40q: want a name of A-Z a-z 0-9 . _ - and 0 to 100 percent", ErrMalformed, f.Name)
	}
	raw, err := json.Marshal(percent)
	if err != nil {
		return err
	}
	return r.put(ctx, "flag.changed", f.Name, flagPrefix+f.Name, raw, false)
}

// Unset takes the tenant's own percentage away, so that Flag.Percent decides again. It is idempotent.
func (f Flag) Unset(ctx context.Context, r *Registry) error {
	return r.put(ctx, "flag.changed", f.Name, flagPrefix+f.Name, nil, false)
}

// bucket places a unit on a line from 0 to 100, the same for ever and independent from flag to flag. Raising a percentage
// therefore only adds units.
func bucket(flag, unit string) float64 {
	sum := sha256.Sum256([]byte(flag + "\x00" + unit))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53) * 100
}
