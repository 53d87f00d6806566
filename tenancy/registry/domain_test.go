package registry_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

var domainRows = record.Define[registry.Domain]("registry.domains", nil)

// zone is a fixture with domains on a DNS of the test's own.
type zone struct {
	fixture
	dns     *tenancytest.DNS
	domains *registry.Domains
}

func newZone(f fixture, opts registry.DomainOptions) zone {
	f.Helper()
	z := zone{fixture: f, dns: &tenancytest.DNS{}}
	opts.DNS = z.dns
	if opts.App == "" {
		opts.App = "pulse"
	}
	var err error
	z.domains, err = f.reg.Domains(&opts)
	require.NoError(f, err)
	return z
}

// publish claims a host for a tenant and sets its record.
func (z zone) publish(t registry.Tenant, host string) registry.Domain {
	z.Helper()
	d, err := z.domains.Claim(registry.Trusted(z.as(t, "ann")), host)
	require.NoError(z, err)
	z.dns.SetTXT(z.domains.RecordName(d.Host), "v=spf1 -all", " "+d.Token)
	return d
}

// ago moves a time of a claim into the past.
func (z zone) ago(t registry.Tenant, d registry.Domain, column string, age time.Duration) {
	z.Helper()
	n, err := domainRows.Update(z.as(t, ""), z.db, column+" = now() - $1::interval", "id = $2", strconv.Itoa(int(age.Seconds()))+" seconds", d.ID)
	require.NoError(z, err)
	require.Equal(z, int64(1), n)
}

// recheck lets the next checks be due now and makes them.
func (z zone) recheck(ts ...registry.Tenant) (checked, lost int) {
	z.Helper()
	for _, t := range ts {
		_, err := domainRows.Update(z.as(t, ""), z.db, "check_at = now() - interval '1 second'", "state <> 'revoked'")
		require.NoError(z, err)
	}
	checked, lost, err := z.domains.Recheck(z.Context(), 0)
	require.NoError(z, err)
	return checked, lost
}

func (z zone) state(t registry.Tenant, d registry.Domain) registry.DomainState {
	z.Helper()
	d, err := z.domains.Get(z.as(t, ""), d.ID)
	require.NoError(z, err)
	return d.State
}

// leadsTo returns the tenant of a host, or "".
func (z zone) leadsTo(host string) string {
	z.Helper()
	v, err := z.reg.Resolver(&registry.ResolverOptions{TTL: -1, NegativeTTL: -1}, registry.ByDomain())
	require.NoError(z, err)
	ref, err := v.Find(request("GET", "https://"+host+"/"))
	if err != nil {
		require.ErrorIs(z, err, registry.ErrUnknownTenant)
	}
	return ref.ID
}

// barrierDNS fails, and answers nobody until as many have asked as are missing.
type barrierDNS struct {
	mu      sync.Mutex
	missing int
	all     chan struct{}
}

func (b *barrierDNS) LookupTXT(ctx context.Context, _ string) ([]string, error) {
	b.mu.Lock()
	if b.missing--; b.missing == 0 {
		close(b.all)
	}
	b.mu.Unlock()
	select {
	case <-b.all:
	case <-ctx.Done():
	}
	return nil, errors.New("server misbehaving")
}

// TestDomainRecheckByMany: several processes that check a claim at once have seen one failure, not one each: a single fault
// of DNS takes no domain down.
func TestDomainRecheckByMany(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{})
		acme := z.tenant("acme", "ann")
		d := z.publish(acme, "shop.acme.example")
		_, err := z.domains.Verify(z.as(acme, "ann"), d.ID)
		require.NoError(f, err)
		z.ago(acme, d, "check_at", time.Second)
		const processes = 4
		dns := &barrierDNS{all: make(chan struct{}), missing: processes}
		many, err := f.reg.Domains(&registry.DomainOptions{App: "pulse", DNS: dns, Timeout: time.Minute, Grace: -1})
		require.NoError(f, err)
		var wg sync.WaitGroup
		errs := make([]error, processes)
		for i := range errs {
			wg.Go(func() { _, _, errs[i] = many.Recheck(f.Context(), 0) })
		}
		wg.Wait()
		require.NoError(f, errors.Join(errs...))
		d, err = z.domains.Get(z.as(acme, ""), d.ID)
		require.NoError(f, err)
		require.Equal(f, registry.DomainVerified, d.State)
		require.Equal(f, int64(1), d.Failures)
		require.Equal(f, acme.ID, z.leadsTo("shop.acme.example"))
	})
}

// TestDomainGraceAfterSilence: the grace period of a record that has gone begins when DNS says so, however long it had said
// nothing: else the end of an outage of the resolver would take all domains down.
func TestDomainGraceAfterSilence(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{})
		acme := z.tenant("acme", "ann")
		d := z.publish(acme, "shop.acme.example")
		_, err := z.domains.Verify(z.as(acme, "ann"), d.ID)
		require.NoError(f, err)
		z.dns.Fail("", tenancytest.Timeout)
		for range 3 {
			z.recheck(acme)
		}
		z.ago(acme, d, "failing_since", 80*time.Hour)
		z.recheck(acme)
		require.Equal(f, registry.DomainFailing, z.state(acme, d))
		z.dns.Fail("", tenancytest.NotFound)
		z.recheck(acme)
		z.recheck(acme)
		require.Equal(f, registry.DomainFailing, z.state(acme, d))
		require.Equal(f, acme.ID, z.leadsTo("shop.acme.example"))
		z.ago(acme, d, "failing_since", 73*time.Hour)
		z.recheck(acme)
		require.Equal(f, registry.DomainRevoked, z.state(acme, d))
	})
}

func TestDomainLife(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{})
		acme := z.tenant("acme", "ann")
		ann := z.as(acme, "ann")
		d, err := z.domains.Claim(ann, "Shop.ACME.example.:443")
		require.NoError(f, err)
		require.Equal(f, "shop.acme.example", d.Host)
		require.Equal(f, registry.DomainPending, d.State)
		require.Equal(f, "_pulse-challenge.shop.acme.example", z.domains.RecordName(d.Host))
		again, err := z.domains.Claim(ann, "shop.acme.example")
		require.NoError(f, err)
		require.Equal(f, d.Token, again.Token, "idempotent")

		got, err := z.domains.Verify(ann, d.ID)
		require.ErrorIs(f, err, registry.ErrUnverified)
		require.Equal(f, "there is no TXT record", got.Problem)
		z.dns.SetTXT("_pulse-challenge.shop.acme.example", "something else", strings.ToLower(d.Token))
		got, err = z.domains.Verify(ann, d.ID)
		require.ErrorIs(f, err, registry.ErrUnverified)
		require.Equal(f, 409, status(err))
		require.Contains(f, got.Problem, "2 TXT records")
		require.Empty(f, z.leadsTo("shop.acme.example"))

		z.dns.SetTXT("_pulse-challenge.shop.acme.example", "something else", d.Token)
		got, err = z.domains.Verify(ann, d.ID)
		require.NoError(f, err)
		require.Equal(f, registry.DomainVerified, got.State)
		require.NotNil(f, got.VerifiedAt)
		require.Equal(f, acme.ID, z.leadsTo("shop.acme.example"))

		z.dns.SetTXT("_pulse-challenge.shop.acme.example")
		checked, lost := z.recheck(acme)
		require.Equal(f, []int{1, 0}, []int{checked, lost})
		require.Equal(f, registry.DomainFailing, z.state(acme, d))
		require.Equal(f, acme.ID, z.leadsTo("shop.acme.example"), "the grace period")
		z.dns.SetTXT("_pulse-challenge.shop.acme.example", d.Token)
		z.recheck(acme)
		require.Equal(f, registry.DomainVerified, z.state(acme, d))

		z.dns.SetTXT("_pulse-challenge.shop.acme.example")
		z.recheck(acme)
		z.ago(acme, d, "failing_since", 73*time.Hour)
		z.recheck(acme)
		require.Equal(f, registry.DomainFailing, z.state(acme, d), "two checks in a row could be one broken cron day")
		checked, lost = z.recheck(acme)
		require.Equal(f, []int{1, 1}, []int{checked, lost})
		require.Equal(f, registry.DomainRevoked, z.state(acme, d))
		require.Empty(f, z.leadsTo("shop.acme.example"))
		checked, _ = z.recheck(acme)
		require.Zero(f, checked, "a revoked claim is left alone")
		_, err = z.domains.Verify(ann, d.ID)
		require.ErrorIs(f, err, registry.ErrRevoked)

		fresh := z.publish(acme, "shop.acme.example")
		require.NotEqual(f, d.Token, fresh.Token, "an old record proves nothing")
		_, err = z.domains.Verify(ann, fresh.ID)
		require.NoError(f, err)
		require.NoError(f, z.domains.Remove(ann, fresh.ID))
		require.NoError(f, z.domains.Remove(ann, fresh.ID), "idempotent")
		require.Empty(f, z.leadsTo("shop.acme.example"))
		var events []string
		for _, e := range z.audited(acme) {
			if strings.Contains(e, "domain.") {
				events = append(events, strings.Fields(strings.Replace(e, "ann ", "", 1))[0])
			}
		}
		require.Equal(f, []string{
			"domain.claimed", "domain.verified", "domain.failing", "domain.verified", "domain.failing", "domain.revoked",
			"domain.claimed", "domain.verified", "domain.removed",
		}, events)
	})
}

func TestDomainClaimsRefused(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{Own: []string{"pulse.example"}, Max: 2, PublicSuffixes: suffixes{}})
		acme := z.tenant("acme", "ann")
		z.add(acme, "eve", "member")
		ann := z.as(acme, "ann")
		for host, want := range map[string]error{
			"pulse.example": registry.ErrTaken, "x.pulse.example": registry.ErrTaken, "a.b.PULSE.example.": registry.ErrTaken,
			"co.example": registry.ErrTaken, "127.0.0.1": registry.ErrHost, "[::1]": registry.ErrHost, "localhost": registry.ErrHost,
			strings.Repeat("abcdefgh.", 27) + "example": registry.ErrHost, "http://a.example": registry.ErrHost,
		} {
			_, err := z.domains.Claim(ann, host)
			require.ErrorIs(f, err, want, host)
		}
		_, err := z.domains.Claim(z.as(acme, "eve"), "a.example")
		require.ErrorIs(f, err, registry.ErrForbidden)
		_, err = z.domains.Claim(z.as(acme, ""), "a.example")
		require.ErrorIs(f, err, registry.ErrForbidden)
		for _, host := range []string{"notpulse.example", "x.co.example"} {
			_, err := z.domains.Claim(ann, host)
			require.NoError(f, err)
		}
		_, err = z.domains.Claim(ann, "third.example")
		require.ErrorIs(f, err, registry.ErrQuota)
		require.NoError(f, f.reg.SetState(ann, registry.StateChange{To: registry.Suspended}))
		_, err = z.domains.Claim(ann, "x.co.example")
		require.ErrorIs(f, err, registry.ErrSuspended)
		require.ErrorIs(f, z.domains.Remove(z.as(acme, "eve"), "x"), registry.ErrForbidden)
		_, err = z.domains.Verify(ann, "no such id")
		require.ErrorIs(f, err, tenancy.ErrNotFound)
	})
}

// suffixes is a tiny public suffix list.
type suffixes struct{}

func (suffixes) PublicSuffix(domain string) string {
	if strings.HasSuffix(domain, "co.example") {
		return "co.example"
	}
	return "example"
}

func (suffixes) String() string { return "test" }

func TestDomainTakeover(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{})
		acme, evil := z.tenant("acme", "ann"), z.tenant("evil", "eve")
		ann, eve := z.as(acme, "ann"), z.as(evil, "eve")
		squat, err := z.domains.Claim(eve, "shop.example")
		require.NoError(f, err)
		mine := z.publish(acme, "shop.example")
		_, err = z.domains.Verify(ann, mine.ID)
		require.NoError(f, err, "a pending claim blocks nobody")
		_, err = z.domains.Verify(eve, squat.ID)
		require.ErrorIs(f, err, registry.ErrUnverified)
		_, err = z.domains.Verify(eve, mine.ID)
		require.ErrorIs(f, err, tenancy.ErrNotFound, "another tenant's claim")

		// The domain is sold; the new owner publishes its token, and for a while both are there.
		name := z.domains.RecordName("shop.example")
		z.dns.SetTXT(name, mine.Token, squat.Token)
		_, err = z.domains.Verify(eve, squat.ID)
		require.ErrorIs(f, err, registry.ErrTaken)
		require.Equal(f, acme.ID, z.leadsTo("shop.example"))
		z.dns.SetTXT(name, squat.Token)
		z.ago(acme, mine, "checked_at", time.Hour)
		_, err = z.domains.Verify(eve, squat.ID)
		require.ErrorIs(f, err, registry.ErrTaken)
		require.Equal(f, registry.DomainFailing, z.state(acme, mine), "asking for a host checks who has it")
		before := z.dns.Queries()
		_, err = z.domains.Verify(eve, squat.ID)
		require.ErrorIs(f, err, registry.ErrTaken)
		require.Equal(f, 1, z.dns.Queries()-before, "but not each time")
		z.ago(acme, mine, "failing_since", 80*time.Hour)
		for range 3 {
			z.ago(acme, mine, "checked_at", time.Hour)
			_, err = z.domains.Verify(eve, squat.ID)
		}
		require.NoError(f, err)
		require.Equal(f, registry.DomainRevoked, z.state(acme, mine))
		require.Equal(f, evil.ID, z.leadsTo("shop.example"))
		for _, e := range z.audited(acme) {
			require.NotContains(f, e, "eve", "the other tenant's people are not in this tenant's log")
		}
	})
}

func TestDomainRecheckFindsNewOwners(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{Grace: -1})
		acme, next := z.tenant("acme", "ann"), z.tenant("next", "bob")
		old := z.publish(acme, "shop.example")
		_, err := z.domains.Verify(z.as(acme, "ann"), old.ID)
		require.NoError(f, err)
		fresh := z.publish(next, "shop.example") // overwrites the record
		for range 4 {
			z.ago(acme, old, "checked_at", time.Hour)
			z.recheck(acme, next)
		}
		require.Equal(f, registry.DomainRevoked, z.state(acme, old))
		require.Equal(f, registry.DomainVerified, z.state(next, fresh))
		require.Equal(f, next.ID, z.leadsTo("shop.example"))
	})
}

func TestDomainFaultsOfDNS(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{Timeout: 20 * time.Millisecond})
		acme := z.tenant("acme", "ann")
		d := z.publish(acme, "shop.example")
		_, err := z.domains.Verify(z.as(acme, "ann"), d.ID)
		require.NoError(f, err)
		for i, fault := range []tenancytest.DNSFault{tenancytest.ServFail, tenancytest.Timeout, tenancytest.Hang} {
			z.dns.Fail("", fault)
			z.recheck(acme)
			want := registry.DomainVerified
			if i == 2 {
				want = registry.DomainFailing
			}
			require.Equal(f, want, z.state(acme, d), "one silent server is no moved domain")
		}
		z.ago(acme, d, "failing_since", 100*time.Hour)
		z.recheck(acme)
		require.Equal(f, registry.DomainFailing, z.state(acme, d), "silence has four times the grace")
		z.dns.Fail("", tenancytest.NoFault)
		z.recheck(acme)
		require.Equal(f, registry.DomainVerified, z.state(acme, d))
		z.dns.Fail("", tenancytest.ServFail)
		for range 3 {
			z.recheck(acme)
		}
		z.ago(acme, d, "failing_since", 300*time.Hour)
		z.recheck(acme)
		require.Equal(f, registry.DomainRevoked, z.state(acme, d), "a dead delegation is dangling too")

		d = z.publish(acme, "other.example")
		z.dns.Fail("", tenancytest.Hang)
		ctx, cancel := context.WithCancel(z.as(acme, "ann"))
		cancel()
		got, err := z.domains.Verify(ctx, d.ID)
		require.ErrorIs(f, err, context.Canceled)
		require.Zero(f, got.Failures, "a caller who leaves says nothing about the host")
	})
}

func TestDomainPendingClaimsEnd(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{})
		acme := z.tenant("acme", "ann")
		d, err := z.domains.Claim(z.as(acme, "ann"), "shop.example")
		require.NoError(f, err)
		first, err := z.domains.Get(z.as(acme, ""), d.ID)
		require.NoError(f, err)
		var waits []time.Duration
		for range 6 {
			z.recheck(acme)
			got, err := z.domains.Get(z.as(acme, ""), d.ID)
			require.NoError(f, err)
			waits = append(waits, got.CheckAt.Sub(*got.CheckedAt))
		}
		require.False(f, first.CheckAt.Before(first.CreatedAt))
		for i := range waits[1:] {
			require.Greater(f, waits[i+1], waits[i], "the longer in vain, the rarer")
		}
		z.ago(acme, d, "created_at", 8*24*time.Hour)
		z.recheck(acme)
		require.Equal(f, registry.DomainRevoked, z.state(acme, d))
	})
}

func TestDomainRecheckIsBounded(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{})
		acme, globex := z.tenant("acme", "ann"), z.tenant("globex", "bob")
		for _, host := range []string{"a.example", "b.example", "c.example"} {
			z.publish(acme, host)
			z.publish(globex, "x."+host)
		}
		for _, tenant := range []registry.Tenant{acme, globex} {
			_, err := domainRows.Update(z.as(tenant, ""), z.db, "check_at = now() - interval '1 hour'", "true")
			require.NoError(f, err)
		}
		for _, want := range []int{4, 2, 0} {
			checked, lost, err := z.domains.Recheck(z.Context(), 4)
			require.NoError(f, err)
			require.Equal(f, []int{want, 0}, []int{checked, lost})
		}
		list, err := z.domains.List(z.as(globex, ""))
		require.NoError(f, err)
		require.Len(f, list, 3)
		for _, d := range list {
			require.Equal(f, registry.DomainVerified, d.State)
			require.Equal(f, globex.ID, z.leadsTo(d.Host))
		}
	})
}

// TestDomainRace: of many tenants who see their token at once, one gets the host.
func TestDomainRace(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{})
		var tokens []string
		var claims []registry.Domain
		var all []registry.Tenant
		for _, slug := range []string{"one", "two", "three", "four"} {
			tenant := z.tenant(slug, "ann")
			d := z.publish(tenant, "shop.example")
			tokens, claims, all = append(tokens, d.Token), append(claims, d), append(all, tenant)
		}
		z.dns.SetTXT(z.domains.RecordName("shop.example"), tokens...)
		won := make([]bool, len(all))
		var wg sync.WaitGroup
		for i := range all {
			wg.Go(func() {
				_, err := z.domains.Verify(z.as(all[i], "ann"), claims[i].ID)
				if won[i] = err == nil; err != nil && !errors.Is(err, registry.ErrTaken) {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		winners := 0
		for i := range all {
			serves := z.state(all[i], claims[i]) == registry.DomainVerified
			require.Equal(f, won[i], serves)
			if serves {
				winners++
				require.Equal(f, all[i].ID, z.leadsTo("shop.example"))
			}
		}
		require.Equal(f, 1, winners)
	})
}

func TestDomainOptions(t *testing.T) {
	t.Parallel()
	reg := open(t, tenancytest.New(t).DB())
	_, err := reg.Domains(&registry.DomainOptions{App: "Not_valid"})
	require.ErrorContains(t, err, "App")
	_, err = reg.Domains(&registry.DomainOptions{Own: []string{"1.2.3.4"}})
	require.ErrorIs(t, err, registry.ErrHost)
	d, err := reg.Domains(nil)
	require.NoError(t, err)
	require.Equal(t, "_ashlar-challenge.a.example", d.RecordName("a.example"))
	var _ interface {
		LookupTXT(context.Context, string) ([]string, error)
	} = net.DefaultResolver
}
