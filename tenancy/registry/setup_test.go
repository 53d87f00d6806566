package registry_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// fixture is an empty registry on one of the two databases.
type fixture struct {
	*testing.T
	db  *tenancy.DB
	reg *registry.Registry
	kit *tenancytest.Kit // nil on PostgreSQL
}

// roles are those of most tests.
var roles = map[string][]string{
	registry.Owner: {"*"},
	"admin":        {"members.*", "keys.*", "projects.*"},
	"hr":           {"members.write", "projects.read"},
	"member":       {"projects.read"},
	"mini":         {"keys.write"},
}

// both runs a case in memory and on PostgreSQL: what holds on one has to hold on the other.
func both(t *testing.T, run func(f fixture)) {
	t.Helper()
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		kit := tenancytest.New(t)
		db, err := tenancy.New(nil, &tenancy.Options{Driver: kit, Retries: 1000}) // in memory, who would wait for a lock tries again
		require.NoError(t, err)
		run(fixture{t, db, open(t, db), kit})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		f, _ := postgres(t)
		run(f)
	})
}

func postgres(t *testing.T) (fixture, *testenv.PG) {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations, registry.Migrations)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	return fixture{t, db, open(t, db), nil}, pg
}

func open(t *testing.T, db *tenancy.DB) *registry.Registry {
	t.Helper()
	reg, err := registry.New(db, &registry.Options{Roles: roles, Reserved: []string{"pulse"}})
	require.NoError(t, err)
	return reg
}

// as acts as a user of a tenant, without one if user is empty.
func (f fixture) as(tenant registry.Tenant, user string) context.Context {
	ctx := tenancy.WithID(f.Context(), tenant.ID)
	if user != "" {
		ctx = tenancy.WithActor(ctx, tenancy.Actor{ID: user})
	}
	return ctx
}

// tenant makes a tenant with an owner.
func (f fixture) tenant(slug, owner string) registry.Tenant {
	f.Helper()
	t, err := f.reg.Create(f.Context(), registry.NewTenant{Slug: slug, Owner: owner})
	require.NoError(f, err)
	return t
}

func (f fixture) add(t registry.Tenant, user, role string) {
	f.Helper()
	require.NoError(f, f.reg.AddMember(registry.Trusted(f.as(t, "")), user, role))
}

// audited returns the log of a tenant as "actor action subject", oldest first.
func (f fixture) audited(t registry.Tenant) []string {
	f.Helper()
	list, err := f.reg.AuditLog(f.as(t, ""), registry.AuditQuery{Limit: 1000})
	require.NoError(f, err)
	texts := []string{}
	for i := range list {
		e := list[len(list)-1-i]
		texts = append(texts, strings.TrimSpace(e.Actor+" "+e.Action+" "+e.Subject))
	}
	return texts
}

// rows of the registry's tables, to let time pass: both databases understand these.
var (
	invitationRows = record.Define[registry.Invitation]("registry.invitations", nil)
	keyRows        = record.Define[registry.APIKey]("registry.api_keys", nil)
)

func status(err error) int {
	var e interface{ HTTPStatus() int }
	if errors.As(err, &e) {
		return e.HTTPStatus()
	}
	return 0
}

func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

func containsWord(list, word string) bool { return slices.Contains(strings.Fields(list), word) }
