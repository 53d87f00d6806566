-- Tenants and what belongs to them. Every table has forced row-level security: the app role sees its own tenant's rows.

create schema registry;
grant usage on schema registry to tenancy_app, tenancy_system;

create table registry.tenants (
    tenant_id  text not null,
    id         text not null check (id = tenant_id),
    slug       text not null,
    name       text not null default '',
    plan       text not null default '',
    state      text not null default 'active' check (state in ('active', 'suspended', 'archived', 'deleting', 'deleted')),
    read_only  boolean not null default false check (not read_only or state = 'suspended'),
    reason     text not null default '',
    state_by   text not null default '',
    state_at   timestamptz not null default now(),
    owners     bigint not null default 0 check (owners >= 0),  -- the last one is guarded by an update of this row, not by a count
    version    bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
);
select tenancy.protect('registry.tenants');

-- What leads to a tenant before the tenant is known: kind is slug, key (an API key's prefix), invite (a token's hash) or domain.
-- A name exists once over all tenants, on purpose: claiming one that is taken says so, and says nothing else.
create table registry.names (
    kind       text not null,
    name       text not null,
    tenant_id  text not null,
    target     text not null default '',
    created_at timestamptz not null default now(),
    primary key (kind, name)
);
create index names_tenant on registry.names (tenant_id, kind);
select tenancy.protect('registry.names');

create table registry.members (
    tenant_id  text not null,
    user_id    text not null,
    role       text not null,
    version    bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, user_id)
);
create index members_user on registry.members (user_id);  -- for registry.memberships
select tenancy.protect('registry.members');

create table registry.invitations (
    tenant_id   text not null,
    id          text not null,
    email       text not null,
    role        text not null,
    token_hash  bytea not null,
    expires_at  timestamptz not null,
    invited_by  text not null default '',
    accepted_at timestamptz,
    accepted_by text not null default '',
    revoked_at  timestamptz,
    version     bigint not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    primary key (tenant_id, id)
);
-- One open invitation per address.
create unique index invitations_open on registry.invitations (tenant_id, email) where accepted_at is null and revoked_at is null;
select tenancy.protect('registry.invitations');

create table registry.api_keys (
    tenant_id    text not null,
    id           text not null,
    name         text not null default '',
    prefix       text not null,
    hash         bytea not null,
    scopes       text[] not null default '{}',
    created_by   text not null default '',
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    replaced_by  text not null default '',
    version      bigint not null,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    primary key (tenant_id, id)
);
select tenancy.protect('registry.api_keys');

create table registry.settings (
    tenant_id  text not null,
    name       text not null,
    value      jsonb not null,
    version    bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, name)
);
select tenancy.protect('registry.settings');

create table registry.quotas (
    tenant_id  text not null,
    name       text not null,
    used       bigint not null default 0 check (used >= 0),
    own_limit  bigint,                                          -- negative is no limit, null the plan's or the program's
    version    bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, name)
);
select tenancy.protect('registry.quotas');

-- The two questions that come before a tenant is known. They answer one exact key each, with what a resolver needs and
-- nothing else, and run as the role that sees all tenants; only these run so.
create function registry.resolve(kind text, name text)
    returns table (tenant_id text, target text, slug text, plan text, state text, read_only boolean, reason text, now timestamptz)
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
as $$
    select t.id, n.target, t.slug, t.plan, t.state, t.read_only, t.reason, clock_timestamp()
    from registry.names n join registry.tenants t on t.tenant_id = n.tenant_id
    where n.kind = $1 and n.name = $2
$$;
revoke all on function registry.resolve(text, text) from public;

create function registry.memberships(user_id text)
    returns table (tenant_id text, slug text, name text, state text, role text)
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
as $$
    select t.id, t.slug, t.name, t.state, m.role
    from registry.members m join registry.tenants t on t.tenant_id = m.tenant_id
    where m.user_id = $1
    order by t.name, t.id
$$;
revoke all on function registry.memberships(text) from public;

-- They belong to tenancy_system, whose policy shows all rows; the owner of the tables has none. That takes membership in the
-- role for the moment, and CREATEROLE or its admin option, as creating the role did.
do $$
declare
    lent boolean := not pg_has_role(current_user, 'tenancy_system', 'usage');
begin
    if lent then
        execute format('grant tenancy_system to %I', current_user);
    end if;
    grant create on schema registry to tenancy_system;
    alter function registry.resolve(text, text) owner to tenancy_system;
    alter function registry.memberships(text) owner to tenancy_system;
    revoke create on schema registry from tenancy_system;
    grant execute on function registry.resolve(text, text) to tenancy_app;
    grant execute on function registry.memberships(text) to tenancy_app;
    if lent then
        execute format('revoke tenancy_system from %I', current_user);
    end if;
end
$$;
