-- The sealed tenant. Once a key is required, the setting tenancy.tenant counts only as
--     <byte 2><HMAC-SHA256 of the rest: 64 hex digits><key id>:<tenant>
-- so SQL that an attacker injected can still set it, but not to another tenant: it has no key. The seal's place and length
-- are fixed and a key id holds no colon, so there is one way to read a value, whatever bytes the tenant has. The byte tells
-- it from the tenant of a database without a key; there alone no tenant can begin with it.

-- The keys as HMAC needs them, xored with its two pads, so that a check costs two hashes. Read by the owner and by nobody
-- else: whoever reads it can forge any tenant. Managed by tenancy.InstallSeal and tenancy.RetireSeal.
create table tenancy.seal_key (
    kid          text primary key check (kid ~ '^[a-z0-9_-]{1,32}$'),
    inner_pad    bytea not null check (octet_length(inner_pad) = 64),
    outer_pad    bytea not null check (octet_length(outer_pad) = 64),
    required     boolean not null,                            -- false: unsealed tenants are still taken
    installed_at timestamptz not null default clock_timestamp()
);
alter table tenancy.seal_key enable row level security;       -- no policy: even a grant by mistake shows nothing
do $$
declare
    r text; -- default privileges of the database may have granted rights already
begin
    for r in select distinct case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
             from pg_class c, aclexplode(c.relacl) a where c.oid = 'tenancy.seal_key'::regclass and a.grantee <> c.relowner
    loop
        execute format('revoke all on tenancy.seal_key from %s', r);
    end loop;
end
$$;

-- The tenant of this transaction, verified. Raises without one, and if its seal is missing or wrong.
-- Stable and called in a sub-select, so once per statement; bodies of other languages than plpgsql are planned each time.
-- The comparison must not tell how much of a guessed seal is right: it starts with 64-bit hashes, which differ or do not.
create or replace function tenancy.tenant_id() returns text
    language plpgsql stable parallel safe security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    given   text := current_setting('tenancy.tenant', true);
    message text := substr(given, 66); -- what the seal covers
    key     tenancy.seal_key;
    sealed  text;
begin
    if ascii(given) = 2 then
        select * into key from tenancy.seal_key where kid = split_part(message, ':', 1);
        sealed := chr(2) || encode(sha256(key.outer_pad || sha256(key.inner_pad || convert_to(message, 'UTF8'))), 'hex') || message;
        if hashtextextended(sealed, 0) = hashtextextended(given, 0) and sealed = given then
            return substr(message, length(key.kid) + 2);
        elsif key.kid is null then
            raise exception 'tenancy: the tenant of this transaction is sealed with an unknown or retired key'
                using errcode = 'insufficient_privilege', hint = 'Install the key with tenancy.InstallSeal before processes use it.';
        end if;
        raise exception 'tenancy: the seal does not fit the tenant of this transaction'
            using errcode = 'insufficient_privilege', hint = 'Only tenancy.DB may set tenancy.tenant; its key must be the installed one.';
    elsif given is null or given = '' then
        raise exception 'tenancy: no tenant in this transaction'
            using errcode = 'insufficient_privilege', hint = 'Run the statement in a unit of work: tenancy.DB.Do, One or All.';
    elsif exists (select from tenancy.seal_key where required) then
        raise exception 'tenancy: the tenant of this transaction is not sealed'
            using errcode = 'insufficient_privilege', hint = 'This database takes sealed tenants only: set tenancy.Options.Seal.';
    end if;
    return given; -- this database is not sealed, or not yet
end
$$;

-- The same, but '' for a system unit without a tenant. Inlined; its names were resolved when it was created.
-- This function and tenant_id() are the ones to read the setting with.
create or replace function tenancy.tenant_or_none() returns text
    language sql stable parallel safe
    return case when coalesce(current_setting('tenancy.tenant', true), '') = '' then '' else tenancy.tenant_id() end;
revoke all on function tenancy.tenant_or_none() from public;
grant execute on function tenancy.tenant_or_none() to tenancy_app, tenancy_system;

-- The default of tenant columns: the tenant as the setting names it, not verified, because a default is computed for each
-- row and verifying takes some 10 µs. The policy of the app role compares each new row with tenant_id(), which verifies
-- once per statement; the system role may write rows of any tenant anyway. Without a tenant it raises like tenant_id().
create function tenancy.row_tenant() returns text
    language sql stable parallel safe
    return coalesce(
        case ascii(current_setting('tenancy.tenant', true)) when 2 then
            substr(current_setting('tenancy.tenant', true), position(':' in current_setting('tenancy.tenant', true)) + 1) end,
        nullif(current_setting('tenancy.tenant', true), ''),
        tenancy.tenant_id());
revoke all on function tenancy.row_tenant() from public;
grant execute on function tenancy.row_tenant() to tenancy_app, tenancy_system;

-- As in 0001, but for the default. A table that was protected before gets it when it is protected again.
create or replace function tenancy.protect(target regclass, tenant_column name default 'tenant_id') returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    kind text;
begin
    select format_type(atttypid, atttypmod) into kind
    from pg_attribute where attrelid = target and attname = tenant_column and not attisdropped;
    if kind is null then
        raise exception 'tenancy: table % has no column %', target, tenant_column using errcode = 'undefined_column';
    end if;
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format('alter table %s alter column %I set default tenancy.row_tenant()::%s', target, tenant_column, kind);
    execute format('alter table %s alter column %I set not null', target, tenant_column);
    execute format('drop policy if exists tenancy_app on %s', target);
    execute format('drop policy if exists tenancy_system on %s', target);
    execute format('create policy tenancy_app on %s to tenancy_app using (%I = (select tenancy.tenant_id()::%s)) '
        'with check (%I = (select tenancy.tenant_id()::%s))', target, tenant_column, kind, tenant_column, kind);
    execute format('create policy tenancy_system on %s to tenancy_system using (true) with check (true)', target);
    execute format('grant select, insert, update, delete on %s to tenancy_app, tenancy_system', target);
end
$$;

-- Whether tenants have to be sealed: 'required', 'optional' (a seal that is there must be right) or 'none'.
create function tenancy.seal_state() returns text
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
    return (select case when bool_or(required) then 'required' when count(*) > 0 then 'optional' else 'none' end from tenancy.seal_key);
revoke all on function tenancy.seal_state() from public;
grant execute on function tenancy.seal_state() to tenancy_app, tenancy_system;

-- Fails where PostgreSQL would silently skip a schema in the search_path, so that a statement which is meant for the schema
-- of a tenant never finds a table of the same name elsewhere.
create function tenancy.require_schema(name text) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not has_schema_privilege(name, 'usage') then -- raises 3F000 if it does not exist
        raise exception 'tenancy: this role has no right to use schema %', quote_ident(name)
            using errcode = 'insufficient_privilege', hint = 'grant usage on schema … to tenancy_app, tenancy_system';
    end if;
end
$$;
revoke all on function tenancy.require_schema(text) from public;
grant execute on function tenancy.require_schema(text) to tenancy_app, tenancy_system;
