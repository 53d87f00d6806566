package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http/cookiejar"
	"regexp"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// DomainState is where a claim on a host is.
type DomainState string

// The states of a claim. The host leads to the tenant while it is verified or failing.
const (
	DomainPending  DomainState = "pending"  // the token has not been seen yet
	DomainVerified DomainState = "verified" // seen at the last check
	DomainFailing  DomainState = "failing"  // was verified, and is not seen any more; serves until the grace period ends
	DomainRevoked  DomainState = "revoked"  // never verified in time, or lost; claim it again
)

// Domain is a tenant's claim on a host name.
type Domain struct {
	ID           string      `db:"id,pk,auto" json:"id"`
	Tenant       string      `db:"tenant" json:"-"`
	Host         string      `db:"host" json:"host"`   // as ParseHost spells it
	Token        string      `db:"token" json:"token"` // the value of the TXT record; it proves nothing to anybody but DNS
	State        DomainState `db:"state" json:"state"`
	Failures     int64       `db:"failures" json:"failures"` // checks in a row that did not see the token
	FailingSince *time.Time  `db:"failing_since" json:"failing_since,omitempty"`
	Problem      string      `db:"problem" json:"problem,omitempty"` // what the last check saw, for people; empty if the token
	VerifiedAt   *time.Time  `db:"verified_at" json:"verified_at,omitempty"`
	CheckedAt    *time.Time  `db:"checked_at" json:"checked_at,omitempty"`
	CheckAt      time.Time   `db:"check_at" json:"check_at"` // the next check by Recheck
	Version      int64       `db:"version,version" json:"version"`
	CreatedAt    time.Time   `db:"created_at,created" json:"created_at"`
	UpdatedAt    time.Time   `db:"updated_at,updated" json:"updated_at"`
}

var domainRows = record.Define[Domain]("registry.domains", &record.Options{
	Unique: []record.Unique{{Columns: []string{"host"}, Name: "domains_tenant_id_host_key"}},
})

// Serves tells whether the host leads to the tenant.
func (d Domain) Serves() bool { return d.State == DomainVerified || d.State == DomainFailing }

// Domains keeps the custom domains of tenants. It is made by Registry.Domains, starts nothing, and is safe for concurrent
// use: Recheck is for a cron job.
type Domains struct {
	reg  *Registry
	opts DomainOptions
	own  []string
}

// DomainOptions configures Domains. The zero value means the defaults.
type DomainOptions struct {
	// App is in the name of the TXT record, _<app>-challenge.<host>: 1 to 30 lower-case letters, digits or inner hyphens.
	// Empty means "ashlar".
	App string

	// Own are the program's own domains: neither they nor what is below them can be claimed. Nil means none.
	Own []string

	// DNS answers TXT queries. Nil means net.DefaultResolver. A *net.DNSError with IsNotFound says that there is no such
	// record; every other error is temporary.
	DNS interface {
		LookupTXT(ctx context.Context, name string) ([]string, error)
	}

	// PublicSuffixes refuses hosts under which everybody can register, as co.uk or github.io; golang.org/x/net/publicsuffix
	// has the list. Nil means that only single labels are refused: who can set the TXT record of a public suffix owns it.
	PublicSuffixes cookiejar.PublicSuffixList

	// Max is how many hosts a tenant may claim, revoked ones not counted. Zero means 20. Negative means no limit.
	Max int

	// PendingFor is how long a claim waits for its record. Zero or negative means 7 days.
	PendingFor time.Duration

	// Grace is how long a verified host goes on serving after its record has gone; four times that when DNS does not answer
	// at all. Zero means 72 hours. Negative means none, but never fewer than three checks in a row.
	Grace time.Duration

	// Every is the time between checks of a verified host. Zero or negative means a day. Failing hosts are checked hourly.
	Every time.Duration

	// Timeout bounds one query. Zero or negative means 5 seconds.
	Timeout time.Duration
}

const (
	domainsWrite = "domains.write"
	minFailures  = 3
	maxAnswers   = 100
)

var appForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?$`)

// Domains returns the custom domains of the registry's tenants. Nil opts means the defaults.
func (r *Registry) Domains(opts *DomainOptions) (*Domains, error) {
	d := &Domains{reg: r}
	if opts != nil {
		d.opts = *opts
	}
	o := &d.opts
	if o.App == "" {
		o.App = "ashlar"
	}
	if !appForm.MatchString(o.App) {
		return nil, fmt.Errorf("registry: DomainOptions.App %q: want 1 to 30 lower-case letters, digits or inner hyphens", o.App)
	}
	for _, host := range o.Own {
		host, err := ParseHost(host)
		if err != nil {
			return nil, fmt.Errorf("registry: DomainOptions.Own: %w", err)
		}
		d.own = append(d.own, host)
	}
	if o.DNS == nil {
		o.DNS = net.DefaultResolver
	}
	positive := func(v *time.Duration, otherwise time.Duration) {
		if *v <= 0 {
			*v = otherwise
		}
	}
	positive(&o.PendingFor, 7*24*time.Hour)
	positive(&o.Every, 24*time.Hour)
	positive(&o.Timeout, 5*time.Second)
	if o.Grace == 0 {
		o.Grace = 72 * time.Hour
	}
	if o.Max == 0 {
		o.Max = 20
	}
	return d, nil
}

// RecordName is where the TXT record with Domain.Token of a host belongs.
func (d *Domains) RecordName(host string) string { return "_" + d.opts.App + "-challenge." + host }

// Claim begins the verification of a host for the tenant of ctx: publish Domain.Token as a TXT record at RecordName, then
// call Verify, or wait for Recheck. It is idempotent: a host that the tenant has claimed is returned as it is, and a revoked
// one begins anew with another token. Others may claim the same host; the first one whose token is seen has it.
//
// The actor needs the permission domains.write (ErrForbidden; see Trusted). ErrHost is a text that is no host name;
// ErrTaken a host of the program's own or a public suffix; a *QuotaError one claim too many.
func (d *Domains) Claim(ctx context.Context, host string) (Domain, error) {
	host, err := d.claimable(host)
	if err != nil {
		return Domain{}, err
	}
	var claim Domain
	err = d.reg.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := d.reg.granterOf(ctx, tx, domainsWrite); err != nil {
			return err
		}
		t, err := d.reg.locked(ctx, tx) // two claims of one tenant meet here
		if err == nil {
			err = t.Check(true)
		}
		if err != nil {
			return err
		}
		old, err := domainRows.FindBy(ctx, tx, "host = $1", host)
		switch {
		case err == nil && old.State != DomainRevoked:
			claim = old
			return nil
		case err == nil:
			if err := domainRows.Delete(ctx, tx, &old); err != nil {
				return err
			}
		case !errors.Is(err, tenancy.ErrNotFound):
			return err
		}
		if err := d.room(ctx, tx); err != nil {
			return err
		}
		claim = Domain{Tenant: tx.ID(), Host: host, Token: rand.Text(), State: DomainPending, CheckAt: time.Now()}
		if err := domainRows.Save(ctx, tx, &claim); err != nil {
			return err
		}
		claim.CheckAt = claim.CreatedAt.Add(firstCheck) // by the database's clock, which is known now
		if err := domainRows.SaveLater(tx, &claim); err != nil {
			return err
		}
		changed(tx, Event{Type: "domain.claimed", Subject: claim.ID, New: host}, nil, fields{"host": host, "state": claim.State})
		return nil
	})
	if err != nil {
		return Domain{}, err
	}
	return claim, nil
}

// claimable returns the spelling of a host that tenants may claim.
func (d *Domains) claimable(host string) (string, error) {
	host, err := ParseHost(host)
	if err != nil {
		return "", err
	}
	for _, own := range d.own {
		if _, below := under(host, own); below || host == own {
			return "", fmt.Errorf("%w: the host is the program's own", ErrTaken)
		}
	}
	if list := d.opts.PublicSuffixes; list != nil && list.PublicSuffix(host) == host {
		return "", fmt.Errorf("%w: the host is a public suffix", ErrTaken)
	}
	if len(d.RecordName(host)) > maxHost {
		return "", fmt.Errorf("%w: too long for a TXT record below it", ErrHost)
	}
	return host, nil
}

func (d *Domains) room(ctx context.Context, tx *tenancy.Tx) error {
	if d.opts.Max < 0 {
		return nil
	}
	n, err := domainRows.Count(ctx, tx, record.Query{Where: "state <> 'revoked'"})
	if err == nil && n >= int64(d.opts.Max) {
		err = &QuotaError{What: "domains", Limit: int64(d.opts.Max), Used: n, Asked: 1}
	}
	return err
}

// Get returns a claim of the tenant of ctx, or an error that matches tenancy.ErrNotFound.
func (d *Domains) Get(ctx context.Context, id string) (Domain, error) {
	if err := checkTexts(id); err != nil {
		return Domain{}, err
	}
	return domainRows.Find(ctx, d.reg.db, id)
}

// List returns the claims of the tenant of ctx, by host.
func (d *Domains) List(ctx context.Context) ([]Domain, error) {
	return domainRows.List(ctx, d.reg.db, record.Query{Order: "host"})
}

// Remove ends a claim of the tenant of ctx in any state; the host no longer leads to it. It is idempotent.
// The actor needs the permission domains.write.
func (d *Domains) Remove(ctx context.Context, id string) error {
	if err := checkTexts(id); err != nil {
		return err
	}
	return d.reg.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := d.reg.granterOf(ctx, tx, domainsWrite); err != nil {
			return err
		}
		claim, err := domainRows.First(ctx, tx, record.Query{Where: "id = $1", Args: []any{id}, Lock: record.ForUpdate})
		if errors.Is(err, tenancy.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.release(ctx, tx, claim); err != nil {
			return err
		}
		if err := domainRows.Delete(ctx, tx, &claim); err != nil {
			return err
		}
		changed(tx, Event{Type: "domain.removed", Subject: id, Old: claim.Host}, fields{"host": claim.Host, "state": claim.State}, nil)
		return nil
	})
}

// release gives the host back, if it is this claim's.
func (d *Domains) release(ctx context.Context, tx *tenancy.Tx, claim Domain) error {
	if !claim.Serves() {
		return nil
	}
	return d.reg.release(ctx, tx, kindDomain, claim.Host)
}
