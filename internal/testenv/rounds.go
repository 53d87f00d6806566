package testenv

import "os"

// Rounds returns how many rounds an attack runs: short by default, full in
// go run ./internal/dev soak, which sets ASHLAR_SOAK.
func Rounds(short, full int) int {
	if os.Getenv("ASHLAR_SOAK") != "" {
		return full
	}
	return short
}
