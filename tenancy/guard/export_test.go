package guard

import (
	"maps"
	"slices"
)

// Rules returns the names of all rules, in order.
func Rules() []string { return slices.Sorted(maps.Keys(severities())) }
