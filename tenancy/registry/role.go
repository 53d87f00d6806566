package registry

import (
	"fmt"
	"strings"
)

// Owner is the role that a tenant's first member gets. A tenant that has an owner always keeps one; only owners make and
// unmake owners.
const Owner = "owner"

// The permissions that the registry itself asks for, of the actor of ctx.
const (
	membersWrite = "members.write" // AddMember, SetRole, RemoveMember, Invite, RevokeInvitation
	keysWrite    = "keys.write"    // CreateKey, RotateKey, RevokeKey
	tenantExport = "tenant.export" // Export
)

// defaultRoles serve a nil Options.Roles.
func defaultRoles() map[string][]string {
	return map[string][]string{Owner: {"*"}, "admin": {"*"}, "member": {"read"}}
}

// checkRoles refuses roles that nobody could have, or that no owner could grant.
func checkRoles(roles map[string][]string) error {
	if _, ok := roles[Owner]; !ok {
		return fmt.Errorf("registry: Options.Roles lacks %q", Owner)
	}
	for role, permissions := range roles {
		if !idForm.MatchString(role) {
			return fmt.Errorf("registry: Options.Roles: %q is no name of a role", role)
		}
		for _, p := range permissions {
			if err := checkPermission(p); err != nil {
				return fmt.Errorf("registry: Options.Roles[%q]: %w", role, err)
			}
			if !covers(roles[Owner], p) {
				return fmt.Errorf("registry: Options.Roles[%q]: %q exceeds what the owner may", role, p)
			}
		}
	}
	return nil
}

func checkPermission(p string) error {
	words := strings.Split(p, ".")
	for i, w := range words {
		if w == "*" && i == len(words)-1 {
			continue
		}
		if w == "" || strings.ContainsFunc(w, func(c rune) bool {
			return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-')
		}) {
			return fmt.Errorf("%w permission %.40q: want words of a to z, digits, _ and -, joined by dots; the last may be *", ErrMalformed, p)
		}
	}
	return nil
}

// covers tells whether the granted permissions include the wanted one: itself, "*", or a prefix that ends in ".*".
// A wanted "projects.*" is included in "projects.*" and "*", not in "projects.read".
func covers(granted []string, wanted string) bool {
	for _, g := range granted {
		if g == wanted || g == "*" {
			return true
		}
		if stem, ok := strings.CutSuffix(g, "*"); ok && strings.HasPrefix(wanted, stem) {
			return true
		}
	}
	return false
}

// coversAll tells whether nothing that is wanted exceeds what was granted.
func coversAll(granted, wanted []string) bool {
	for _, w := range wanted {
		if !covers(granted, w) {
			return false
		}
	}
	return true
}
