package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// exporting returns a registry whose auditors may export, and a tenant with an owner, an auditor and a member.
func exporting(t *testing.T) (*house, registry.Tenant) {
	t.Helper()
	h := newHouse(t)
	var err error
	h.reg, err = registry.New(h.db, &registry.Options{Roles: map[string][]string{
		registry.Owner: {"*"}, "auditor": {"tenant.export"}, "member": {"tenant.read"},
	}})
	require.NoError(t, err)
	acme, err := h.reg.Create(t.Context(), registry.NewTenant{Slug: "acme", Owner: "ann"})
	require.NoError(t, err)
	trusted := registry.Trusted(tenancy.WithID(t.Context(), acme.ID))
	require.NoError(t, h.reg.AddMember(trusted, "aude", "auditor"))
	require.NoError(t, h.reg.AddMember(trusted, "mel", "member"))
	return h, acme
}

// exports returns who has exported a tenant, oldest first, by its audit log; its events must be as many.
func (h *house) exports(t *testing.T, id string) []string {
	t.Helper()
	who := h.texts(t, `select actor from tenancy.audit where tenant_id = $1 and action = 'tenant.exported' order by at`, id)
	require.Len(t, h.texts(t, `select type from tenancy.outbox where tenant_id = $1 and type = 'tenant.exported'`, id), len(who))
	return who
}

func TestExportAsksWhoMay(t *testing.T) {
	t.Parallel()
	h, acme := exporting(t)
	of := func(a tenancy.Actor) context.Context {
		return tenancy.WithActor(tenancy.WithID(t.Context(), acme.ID), a)
	}
	reader, _, err := h.reg.CreateKey(registry.Trusted(of(tenancy.Actor{})), registry.NewKey{Scopes: []string{"tenant.read"}})
	require.NoError(t, err)
	for name, ctx := range map[string]context.Context{
		"nobody":                  of(tenancy.Actor{}),
		"a stranger":              of(tenancy.Actor{ID: "stranger"}),
		"a stranger by System":    tenancy.System(of(tenancy.Actor{ID: "stranger"}), "curious"),
		"a member without":        of(tenancy.Actor{ID: "mel"}),
		"support as the owner":    of(tenancy.Actor{ID: "aude", OnBehalfOf: "ann"}),
		"a key without the scope": of(reader.Actor()),
	} {
		var archive bytes.Buffer
		_, err := h.reg.Export(ctx, &archive, nil)
		require.ErrorIs(t, err, registry.ErrForbidden, name)
		require.Zero(t, archive.Len(), name)
	}
	require.Empty(t, h.exports(t, acme.ID))

	key, _, err := h.reg.CreateKey(registry.Trusted(of(tenancy.Actor{})), registry.NewKey{Scopes: []string{"tenant.*"}})
	require.NoError(t, err)
	may := []context.Context{of(tenancy.Actor{ID: "ann"}), of(tenancy.Actor{ID: "aude"}), of(key.Actor()), registry.Trusted(of(tenancy.Actor{ID: "ops"}))}
	for _, ctx := range may {
		_, err := h.reg.Export(ctx, io.Discard, nil)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"ann", "aude", key.Actor().ID, "ops"}, h.exports(t, acme.ID))
}

// failing is a writer whose disk is full.
type failing struct{ before func() }

var errFull = errors.New("disk full")

func (w failing) Write([]byte) (int, error) {
	w.before()
	return 0, errFull
}

func TestExportIsOnRecordBeforeItsFirstByte(t *testing.T) {
	t.Parallel()
	h, acme := exporting(t)
	ann := tenancy.WithActor(tenancy.WithID(t.Context(), acme.ID), tenancy.Actor{ID: "ann"})
	written := false
	_, err := h.reg.Export(ann, failing{func() {
		written = true
		require.Equal(t, []string{"ann"}, h.exports(t, acme.ID))
	}}, nil)
	require.ErrorIs(t, err, errFull)
	require.True(t, written)
	require.Equal(t, []string{"ann"}, h.exports(t, acme.ID), "an export that failed may have got far")

	// A unit around it could take the record back.
	var archive bytes.Buffer
	err = h.db.With(&tenancy.TxOptions{Isolation: pgx.RepeatableRead, Eager: true}).Do(ann, func(ctx context.Context, _ *tenancy.Tx) error {
		_, err := h.reg.Export(ctx, &archive, nil)
		return err
	})
	require.ErrorContains(t, err, "inside of a unit")
	require.Zero(t, archive.Len())
}

func TestExportByState(t *testing.T) {
	t.Parallel()
	h, acme := exporting(t)
	trusted := registry.Trusted(tenancy.WithID(t.Context(), acme.ID))
	require.NoError(t, h.reg.SetState(trusted, registry.StateChange{To: registry.Deleting}))
	_, err := h.reg.Export(trusted, io.Discard, nil)
	require.NoError(t, err, "who leaves takes its data along")
	_, err = h.reg.Purge(trusted, "test", atOnce)
	require.NoError(t, err)
	require.Equal(t, []string{"tenant.deleted"}, h.texts(t, `select type from tenancy.outbox where tenant_id = $1`, acme.ID))
	_, err = h.reg.Export(trusted, io.Discard, nil)
	require.ErrorIs(t, err, registry.ErrGone)
	require.Equal(t, []string{"tenant.deleted"}, h.texts(t, `select type from tenancy.outbox where tenant_id = $1`, acme.ID))
	_, err = h.reg.Export(registry.Trusted(tenancy.WithID(t.Context(), "nobody")), io.Discard, nil)
	require.ErrorIs(t, err, registry.ErrUnknownTenant)
}
