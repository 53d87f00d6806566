-- Custom domains, impersonation, and the books of purges.

-- A claim on a host name. Any number of tenants may claim the same host; who has proved it has its row in registry.names
-- (kind domain, target is the claim's id), of which there is one per host.
create table registry.domains (
    tenant_id     text not null,
    id            text not null,
    tenant        text not null check (tenant = tenant_id),   -- for the re-check, which sees the claims of all tenants
    host          text not null check (host = lower(host) and length(host) <= 253),
    token         text not null,                  -- public once it is in DNS
    state         text not null default 'pending' check (state in ('pending', 'verified', 'failing', 'revoked')),
    failures      bigint not null default 0,      -- checks in a row that did not find the token
    failing_since timestamptz,
    problem       text not null default '',       -- what the last check saw
    verified_at   timestamptz,                    -- the first time in this claim
    checked_at    timestamptz,
    check_at      timestamptz not null,           -- the next check; far away for revoked claims
    version       bigint not null,
    created_at    timestamptz not null,
    updated_at    timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, host)
);
create index domains_due on registry.domains (check_at) where state <> 'revoked';
select tenancy.protect('registry.domains');

-- A support person acting as a member: a code that works once, then a session.
create table registry.impersonations (
    tenant_id    text not null,
    id           text not null,
    actor        text not null,                   -- the support person
    member       text not null,                   -- as whom
    reason       text not null,
    hash         bytea not null,                  -- of the code, then of the session
    redeemed_at  timestamptz,
    code_until   timestamptz not null,
    expires_at   timestamptz not null,
    ended_at     timestamptz,
    ended_by     text not null default '',
    version      bigint not null,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    primary key (tenant_id, id)
);
select tenancy.protect('registry.impersonations');

-- The books of purges outlive the tenants they are about, so they are no tenant's rows: the column is not called tenant_id,
-- and only the system role sees them.
create table registry.purges (
    id          text primary key default gen_random_uuid()::text,
    tenant      text not null,
    reason      text not null,
    actor       text not null default '{}',
    started_at  timestamptz not null default now(),
    finished_at timestamptz,
    number      bigint unique,                    -- of finished purges, without gaps
    report      text,                             -- JSON, exactly the text that was hashed
    hash        text
);
create unique index purges_open on registry.purges (tenant) where finished_at is null;
create table registry.purge_tables (
    purge_id text not null references registry.purges (id),
    name     text not null,
    deleted  bigint not null,
    primary key (purge_id, name)
);
alter table registry.purges enable row level security;
alter table registry.purges force row level security;
alter table registry.purge_tables enable row level security;
alter table registry.purge_tables force row level security;
create policy tenancy_system on registry.purges to tenancy_system using (true) with check (true);
create policy tenancy_system on registry.purge_tables to tenancy_system using (true) with check (true);
grant select, insert, update on registry.purges, registry.purge_tables to tenancy_system;

-- A purge that has begun cannot be called off: half of the rows would be gone.
create function registry.refuse_return() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from registry.purges where tenant = old.id and finished_at is null) then
        raise exception 'registry: the purge of this tenant has begun' using errcode = 'TN410';
    end if;
    return new;
end
$$;
revoke all on function registry.refuse_return() from public;
create trigger purge_begun before update of state on registry.tenants for each row
    when (old.state = 'deleting' and new.state not in ('deleting', 'deleted')) execute function registry.refuse_return();

-- Moves the sequence of a column past a number, never back. Import needs it: setval wants rights on the sequence, which only
-- its owner has. A concurrent nextval between the two reads matters only if it draws the very number.
create function registry.advance_sequence(target text, col text, past bigint) returns void
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    seq  regclass := pg_get_serial_sequence(target, col)::regclass;
    last bigint;
begin
    if seq is null or past is null then
        return;
    end if;
    execute format('select last_value from %s', seq) into last;
    if past > last then
        perform setval(seq, past);
    end if;
end
$$;
revoke all on function registry.advance_sequence(text, text, bigint) from public;
grant execute on function registry.advance_sequence(text, text, bigint) to tenancy_system;

-- refuse_return reads what only the system role sees; see 0001_registry.sql for the loan.
do $$
declare
    lent boolean := not pg_has_role(current_user, 'tenancy_system', 'usage');
begin
    if lent then
        execute format('grant tenancy_system to %I', current_user);
    end if;
    grant create on schema registry to tenancy_system;
    alter function registry.refuse_return() owner to tenancy_system;
    revoke create on schema registry from tenancy_system;
    if lent then
        execute format('revoke tenancy_system from %I', current_user);
    end if;
end
$$;
