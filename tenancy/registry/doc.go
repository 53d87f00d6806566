// Package registry is the directory of tenants: their states, slugs, members, invitations, API keys, settings, feature flags
// and quotas; custom domains, and which tenant a request is for; support staff acting as members; export, import and
// deletion of one tenant.
//
// # Usage
//
//	reg, err := registry.New(db, nil)
//	acme, err := reg.Create(ctx, registry.NewTenant{Slug: "acme", Owner: "ann"})
//	ctx = tenancy.WithID(ctx, acme.ID)                             // all else is for the tenant of ctx
//	ctx = tenancy.WithActor(ctx, tenancy.Actor{ID: "ann"})         // and by somebody, whose rights bound what it grants
//	inv, token, err := reg.Invite(ctx, registry.NewInvitation{Email: "bob@example.com", Role: "member"})
//	key, secret, err := reg.CreateKey(ctx, registry.NewKey{Scopes: []string{"projects.read"}})
//	err = Projects.Take(ctx, reg, 1)                               // var Projects = registry.Quota{Name: "projects", Limit: 5}
//	if m, err := reg.Member(ctx, "ann"); m.Can("projects.write") { … }
//
//	who, err := reg.Resolver(nil, registry.ByAPIKey(), registry.ByDomain(), registry.BySubdomain("example.com"))
//	ctx, err := who.Resolve(r)                                     // an *http.Request
//
//	domains, err := reg.Domains(&registry.DomainOptions{Own: []string{"example.com"}})
//	d, err := domains.Claim(ctx, "shop.acme.com")                  // publish d.Token at domains.RecordName(d.Host)
//	d, err = domains.Verify(ctx, d.ID)
//
//	manifest, err := reg.Export(ctx, file, nil)                    // a zip of all that is the tenant's, and an event
//	report, err := reg.Purge(ctx, "contract ended", nil)           // 30 days after SetState(Deleting)
//
// # Consistency
//
// Every change is one unit of work, or a part of the one that ctx is in: the rows, an event (see Event) and an audit entry
// commit together or not at all. What must not be exceeded is part of the statement that changes it: of any number of callers
// at once none takes a quota past its limit or removes the last owner, at every isolation level. Quotas count what a tenant
// has; how often it may do something in a time is for httpx/ratelimit, whose limit can be a Setting.
//
// Times are the database's. Slugs are ASCII: what looks like another letter is refused, not folded. Old slugs stay with their
// tenant. API keys and invitations are stored as SHA-256 of 130 random bits and compared in constant time; a Secret shows
// its text to nothing but Reveal.
//
// A Resolver remembers tenants for 15 seconds; see Resolver.Invalidate. A host serves one tenant at a time, whatever others
// claim, and stops serving when its TXT record has been gone for the grace period.
//
// An export is one snapshot, an import one unit. A purge is many units, continued after a crash where it was, and its report
// counts each row once. All three find tables in the catalogue: those that a policy on tenancy.tenant_id() protects. They
// need PostgreSQL; everything else runs on the in-memory kit of tenancytest too.
//
// # Tenancy
//
// Methods act for the tenant of ctx. The questions that come before a tenant is known (BySlug, Accept, Join, Authenticate,
// Memberships, Create) run outside of any unit, through functions of the database that answer one exact key each, with what a
// resolver needs and nothing else; web processes need no system role. Domains.Recheck, Import, Purge and PurgeReports need
// Options.System of the DB, since they see several tenants or write what no tenant may.
//
// A program whose tenants have databases of their own (tenancy.Options.Databases) keeps its registry in the common one, on a DB
// without Options.Place: a tenant has to be found before its place is known. See docs/moving-a-tenant.md.
//
// The registry asks for permissions where rights are granted, members, invitations, API keys, and where everything leaves at
// once: in Export. There the actor of ctx needs members.write, keys.write or tenant.export, gives and takes nothing that it
// does not have itself, and acts for nobody but itself; see Trusted for programs. Who may rename, suspend, set or count, the program asks by Member.Can and APIKey.Can. Row-level
// security keeps tenants apart, not a tenant from its own rows: SQL injected into a tenant's statement can change that
// tenant's roles and quotas.
//
// # Errors
//
// Every refusal matches one sentinel and has a method HTTPStatus. ErrMalformed comes before any I/O. ErrUnknownTenant,
// ErrTaken, ErrTransition, ErrForbidden, ErrLastOwner; *StateError: ErrSuspended (402), ErrArchived (403), ErrGone (410);
// *QuotaError: ErrQuota. API keys and invitations: ErrInvalidToken for what was never issued; ErrExpired and ErrRevoked are
// told to whoever has the whole secret. What else is missing matches tenancy.ErrNotFound.
//
// Resolvers: tenancy.ErrNoTenant, *ConflictError. Domains: ErrHost, ErrUnverified. Archives: ErrArchive, ErrArchiveVersion,
// ErrNotEmpty, ErrCollision. Purges: ErrPurgeIncomplete, ErrPurgeChain.
//
// # Concurrency
//
// A Registry is safe for concurrent use and starts no goroutine. Concurrent changes of one tenant's members, invitations,
// slugs or states take turns on the tenant's row; those that meet in another order are run again by the unit of work.
package registry
