package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

func TestAutoJoin(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{})
		acme := f.tenant("acme", "ann")
		ann := f.as(acme, "ann")
		f.add(acme, "hr", "hr")
		join := func(user, email string) error {
			_, err := f.reg.Join(f.Context(), registry.Acceptance{UserID: user, Email: email})
			return err
		}
		d := z.publish(acme, "acme.example")
		require.NoError(f, f.reg.SetAutoJoin(ann, "member"))
		require.ErrorIs(f, join("bob", "bob@acme.example"), registry.ErrUnknownTenant, "the domain is only claimed")
		_, err := z.domains.Verify(ann, d.ID)
		require.NoError(f, err)
		require.NoError(f, f.reg.SetAutoJoin(ann, ""))
		require.ErrorIs(f, join("bob", "bob@acme.example"), registry.ErrUnknownTenant, "the tenant does not allow it")
		require.NoError(f, f.reg.SetAutoJoin(ann, "member"))

		ref, err := f.reg.Join(f.Context(), registry.Acceptance{UserID: "bob", Email: "Bob@ACME.example"})
		require.NoError(f, err)
		require.Equal(f, acme.ID, ref.ID)
		require.NoError(f, join("bob", "bob@acme.example"), "again")
		require.NoError(f, join("ann", "ann@acme.example"), "the owner stays owner")
		for user, role := range map[string]string{"bob": "member", "ann": registry.Owner} {
			m, err := f.reg.Member(ann, user)
			require.NoError(f, err)
			require.Equal(f, role, m.Role)
		}
		for email, want := range map[string]error{
			"eve@shop.acme.example":        registry.ErrUnknownTenant,
			"eve@example":                  registry.ErrMalformed,
			"eve@acme.example.evil.test":   registry.ErrUnknownTenant,
			"acme.example":                 registry.ErrMalformed,
			"eve@evil.test@acme.example":   registry.ErrMalformed,
			"\"eve@acme.example\"@e.test":  registry.ErrMalformed,
			"eve@acme.example.":            registry.ErrMalformed,
			"eve@\u0430cme.example":        registry.ErrMalformed,
			"eve@[127.0.0.1]":              registry.ErrMalformed,
			"eve@acme.example\r\nx: y@z.q": registry.ErrMalformed,
		} {
			require.ErrorIs(f, join("eve", email), want, "%q", email)
		}

		// Who may not give the role may not let everybody have it.
		require.ErrorIs(f, f.reg.SetAutoJoin(ann, registry.Owner), registry.ErrForbidden)
		require.ErrorIs(f, f.reg.SetAutoJoin(f.as(acme, "hr"), "admin"), registry.ErrForbidden)
		require.ErrorIs(f, f.reg.SetAutoJoin(f.as(acme, "bob"), "member"), registry.ErrForbidden)
		require.ErrorIs(f, f.reg.SetAutoJoin(ann, "king"), registry.ErrMalformed)

		// A suspended tenant, and a domain whose record is gone, let nobody in.
		require.NoError(f, f.reg.SetState(ann, registry.StateChange{To: registry.Suspended, ReadOnly: true}))
		require.ErrorIs(f, join("cid", "cid@acme.example"), registry.ErrSuspended)
		require.NoError(f, f.reg.SetState(ann, registry.StateChange{To: registry.Active}))
		z.dns.SetTXT(z.domains.RecordName(d.Host))
		z.recheck(acme)
		require.Equal(f, registry.DomainFailing, z.state(acme, d))
		require.ErrorIs(f, join("cid", "cid@acme.example"), registry.ErrUnknownTenant)
		_, err = f.reg.Member(ann, "cid")
		require.ErrorIs(f, err, tenancy.ErrNotFound)
	})
}
