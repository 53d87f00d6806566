package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

const (
	firstCheck   = time.Minute
	maxWait      = 6 * time.Hour // between checks of a pending claim
	failingEvery = time.Hour
	never        = 100 * 365 * 24 * time.Hour
	askAgain     = time.Minute // between checks of a holder that others ask for
)

// ErrUnverified reports a host whose TXT record does not have the token (yet), or that DNS could not say.
var ErrUnverified error = &refusal{"registry: the domain's TXT record does not have the token", http.StatusConflict, nil}

// seen is what DNS said about a claim.
type seen int

const (
	tokenSeen seen = iota
	tokenMissing
	dnsSilent
)

// Verify checks a claim of the tenant of ctx now, and returns it as it is then. A claim that does not serve afterwards comes
// with ErrUnverified: Domain.Problem says what DNS has; or with ErrTaken while the host is another tenant's. That one is
// checked too then, so a host that has changed hands is free after the grace period. ErrRevoked is a claim that has ended.
// The actor needs domains.write.
func (d *Domains) Verify(ctx context.Context, id string) (Domain, error) {
	if err := checkTexts(id); err != nil {
		return Domain{}, err
	}
	if _, err := d.reg.granterOf(ctx, d.reg.db, domainsWrite); err != nil {
		return Domain{}, err
	}
	claim, err := d.check(ctx, id)
	if errors.Is(err, ErrTaken) {
		if freed, err := d.checkHolder(ctx, claim.Host); err != nil || !freed {
			return claim, errors.Join(ErrTaken, err)
		}
		claim, err = d.check(ctx, id)
	}
	switch {
	case err != nil:
		return claim, err
	case claim.State == DomainRevoked:
		return claim, ErrRevoked
	case claim.State != DomainVerified:
		return claim, ErrUnverified
	}
	return claim, nil
}

// checkHolder checks the claim that has a host now, if it was not checked a moment ago, and tells whether that freed it.
func (d *Domains) checkHolder(ctx context.Context, host string) (freed bool, err error) {
	ref, err := d.reg.resolve(ctx, kindDomain, host)
	if errors.Is(err, ErrUnknownTenant) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	holder := tenancy.WithActor(tenancy.WithID(ctx, ref.ID), tenancy.Actor{}) // nobody of that tenant acts
	claim, err := domainRows.Find(holder, d.reg.db, ref.Target)
	if err != nil || claim.CheckedAt != nil && ref.Now.Sub(*claim.CheckedAt) < askAgain {
		return false, err
	}
	claim, err = d.check(holder, ref.Target)
	return claim.State == DomainRevoked, err
}

// Recheck checks claims that are due, at most limit of them (zero or negative means 100), and returns how many it checked
// and how many of those stopped serving or could not be checked. It is for a cron job of every minute or so, needs
// Options.System of the DB to see the claims of all tenants, and acts for each tenant as the app role. Several at a time do
// no harm. The next checks are spread by jitter.
//
// Errors of single claims are joined; the others are checked all the same.
func (d *Domains) Recheck(ctx context.Context, limit int) (checked, lost int, err error) {
	if limit <= 0 {
		limit = 100
	}
	due, err := domainRows.List(tenancy.System(ctx, "re-check of domains"), d.reg.db, record.Query{
		Where: "state <> 'revoked' and check_at <= now()", Order: "check_at", Limit: limit,
	})
	if err != nil {
		return 0, 0, fmt.Errorf("registry: re-check: %w", err)
	}
	var failed []error
	for _, claim := range due {
		if ctx.Err() != nil {
			return checked, lost, errors.Join(append(failed, context.Cause(ctx))...)
		}
		after, err := d.checkNow(tenancy.WithID(ctx, claim.Tenant), claim)
		switch {
		case errors.Is(err, tenancy.ErrNotFound): // removed meanwhile
			continue
		case errors.Is(err, ErrTaken):
			_, err = d.checkHolder(ctx, claim.Host)
		}
		checked++
		if err != nil {
			failed = append(failed, fmt.Errorf("registry: re-check of %s: %w", claim.ID, err))
		}
		if err != nil || claim.Serves() && !after.Serves() {
			lost++
		}
	}
	return checked, lost, errors.Join(failed...)
}

// check is checkNow of the claim with an id.
func (d *Domains) check(ctx context.Context, id string) (Domain, error) {
	claim, err := domainRows.Find(ctx, d.reg.db, id)
	if err != nil || claim.State == DomainRevoked {
		return claim, err
	}
	return d.checkNow(ctx, claim)
}

// checkNow asks DNS, outside of any transaction, and writes down what that means. A token that was not seen means nothing if
// somebody has checked the claim since it was read: several who ask at once are one check.
func (d *Domains) checkNow(ctx context.Context, claim Domain) (Domain, error) {
	id := claim.ID
	saw, problem, err := d.look(ctx, claim)
	if err != nil {
		return claim, err
	}
	after := claim
	var taken error
	err = d.reg.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		taken = nil
		where, args := "id = $1 and token = $2 and state <> 'revoked'", []any{id, claim.Token}
		switch {
		case saw == tokenSeen:
		case claim.CheckedAt == nil:
			where += " and checked_at is null"
		default:
			where, args = where+" and checked_at = $3", append(args, *claim.CheckedAt)
		}
		// The database's clock decides; the update also locks the claim.
		n, err := domainRows.Update(ctx, tx, "checked_at = now()", where, args...)
		if err != nil {
			return err
		}
		now, err := domainRows.Find(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case n == 0 && (now.Token != claim.Token || now.State == DomainRevoked):
			return tenancy.ErrNotFound
		case n == 0:
			after = now
			return nil
		}
		before := now
		d.judge(&now, saw, problem)
		if now.Serves() && !before.Serves() {
			if taken = d.reg.claim(ctx, kindDomain, now.Host, now.ID); errors.Is(taken, ErrTaken) {
				now = before
				now.Problem = "the host is in use"
				d.wait(&now)
			} else if taken != nil {
				return taken
			}
		}
		if before.Serves() && !now.Serves() {
			if err := d.release(ctx, tx, before); err != nil {
				return err
			}
		}
		if now.State != before.State {
			changed(tx, Event{Type: "domain." + string(now.State), Subject: id, Old: string(before.State), New: string(now.State)},
				fields{"state": before.State}, fields{"state": now.State, "problem": now.Problem})
		}
		after = now
		return domainRows.Save(ctx, tx, &after)
	})
	return after, errors.Join(err, taken)
}

// look asks DNS. It fails only when ctx has ended, which says nothing about the host.
func (d *Domains) look(ctx context.Context, claim Domain) (saw seen, problem string, err error) {
	query, cancel := context.WithTimeout(ctx, d.opts.Timeout)
	defer cancel()
	// The dot at the end keeps the resolver's search list out.
	values, err := d.opts.DNS.LookupTXT(query, d.RecordName(claim.Host)+".")
	var dnsErr *net.DNSError
	switch {
	case ctx.Err() != nil:
		return dnsSilent, "", context.Cause(ctx)
	case errors.As(err, &dnsErr) && dnsErr.IsNotFound:
		return tokenMissing, "there is no TXT record", nil
	case err != nil:
		return dnsSilent, noAnswer, nil
	}
	values = values[:min(len(values), maxAnswers)]
	if slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) == claim.Token }) {
		return tokenSeen, "", nil
	}
	return tokenMissing, fmt.Sprintf("there are %d TXT records, none of them the token", len(values)), nil
}

// noAnswer is the problem of a claim when DNS was silent.
const noAnswer = "DNS did not answer"

// judge moves a claim on by what was seen. CheckedAt is now.
func (d *Domains) judge(c *Domain, saw seen, problem string) {
	now, before := *c.CheckedAt, c.Problem
	c.Problem = problem
	if saw == tokenSeen {
		c.State, c.Failures, c.FailingSince = DomainVerified, 0, nil
		if c.VerifiedAt == nil {
			c.VerifiedAt = &now
		}
		c.CheckAt = now.Add(jitter(d.opts.Every))
		return
	}
	c.Failures++
	if c.State == DomainPending {
		if now.Sub(c.CreatedAt) >= d.opts.PendingFor {
			c.State, c.CheckAt = DomainRevoked, now.Add(never)
			return
		}
		d.wait(c)
		return
	}
	if c.FailingSince == nil || saw == tokenMissing && before == noAnswer { // the record has gone now, not when DNS fell silent
		c.FailingSince = &now
	}
	grace := max(d.opts.Grace, 0)
	if saw == dnsSilent {
		grace *= 4
	}
	if saw == tokenMissing || c.Failures >= minFailures {
		c.State = DomainFailing
	}
	c.CheckAt = now.Add(jitter(min(failingEvery, d.opts.Every)))
	if c.Failures >= minFailures && now.Sub(*c.FailingSince) >= grace {
		c.State, c.CheckAt = DomainRevoked, now.Add(never)
	}
}

// wait sets the next check of a pending claim: the more often it was in vain, the later.
func (d *Domains) wait(c *Domain) {
	c.CheckAt = c.CheckedAt.Add(jitter(min(firstCheck<<min(c.Failures, 16), maxWait)))
}

// jitter spreads checks that began together by a tenth each way.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }
