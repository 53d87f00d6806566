-- A purge of what a moved tenant has left behind (PurgeOptions.Moved) is not the purge of the tenant: each has books of its
-- own, and only the latter keeps a deletion from being called off.
alter table registry.purges add column moved boolean not null default false;
drop index registry.purges_open;
create unique index purges_open on registry.purges (tenant, moved) where finished_at is null;

-- The function stays the system role's; see 0001_registry.sql for the loan.
do $do$
declare
    lent boolean := not pg_has_role(current_user, 'tenancy_system', 'usage');
begin
    if lent then
        execute format('grant tenancy_system to %I', current_user);
    end if;
    create or replace function registry.refuse_return() returns trigger
        language plpgsql security definer
        set search_path = pg_catalog, pg_temp
    as $$
    begin
        if exists (select from registry.purges where tenant = old.id and not moved and finished_at is null) then
            raise exception 'registry: the purge of this tenant has begun' using errcode = 'TN410';
        end if;
        return new;
    end
    $$;
    if lent then
        execute format('revoke tenancy_system from %I', current_user);
    end if;
end
$do$;
