-- Roles, the tenant of a transaction, and protection of tables.

do $$
declare
    r text;
begin
    foreach r in array array['tenancy_app', 'tenancy_system'] loop
        begin
            if not exists (select from pg_roles where rolname = r) then
                execute format('create role %I nologin', r);
            end if;
        exception when duplicate_object or unique_violation then
            null; -- another database of this cluster was faster
        end;
    end loop;
end
$$;

create schema tenancy;
grant usage on schema tenancy to tenancy_app, tenancy_system;

-- The tenant of this transaction. It is set by set_config('tenancy.tenant', …, true) and by nothing session-wide.
-- A setting that was local to an earlier transaction reads as '', so both null and '' mean "none" and fail.
create function tenancy.tenant_id() returns text
    language plpgsql stable parallel safe
    set search_path = pg_catalog, pg_temp
as $$
declare
    id text := current_setting('tenancy.tenant', true);
begin
    if id is null or id = '' then
        raise exception 'tenancy: no tenant in this transaction'
            using errcode = 'insufficient_privilege', hint = 'Run the statement in a unit of work: tenancy.DB.Do, One or All.';
    end if;
    return id;
end
$$;
revoke all on function tenancy.tenant_id() from public;
grant execute on function tenancy.tenant_id() to tenancy_app, tenancy_system;

-- Protects a table: row-level security, forced for its owner too, a policy that shows the app role the rows of its tenant
-- and one that shows the system role all rows, grants for both, and the tenant as default of the tenant column.
-- The sub-select makes the planner evaluate the tenant once per statement. Can be run again.
create function tenancy.protect(target regclass, tenant_column name default 'tenant_id') returns void
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
    execute format('alter table %s alter column %I set default tenancy.tenant_id()::%s', target, tenant_column, kind);
    execute format('alter table %s alter column %I set not null', target, tenant_column);
    execute format('drop policy if exists tenancy_app on %s', target);
    execute format('drop policy if exists tenancy_system on %s', target);
    execute format('create policy tenancy_app on %s to tenancy_app using (%I = (select tenancy.tenant_id()::%s)) '
        'with check (%I = (select tenancy.tenant_id()::%s))', target, tenant_column, kind, tenant_column, kind);
    execute format('create policy tenancy_system on %s to tenancy_system using (true) with check (true)', target);
    execute format('grant select, insert, update, delete on %s to tenancy_app, tenancy_system', target);
end
$$;
revoke all on function tenancy.protect(regclass, name) from public;
