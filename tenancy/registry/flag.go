package registry

import (
	"crypto/sha256"
	"encoding/binary"
)

// bucket places a unit (a tenant, a user of it) on a line from 0 to 100, the same for ever and independent from flag to
// flag. Raising a percentage therefore only adds units.
func bucket(flag, unit string) float64 {
	sum := sha256.Sum256([]byte(flag + "\x00" + unit))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53) * 100
}
