-- What a database lets units of one tenant do, e.g. while the tenant moves to another one. See tenancy.DB.Restrict.

-- No rows of tenants: the column is not called tenant_id, and only the system role sees them.
create table tenancy.restriction (
    tenant text primary key,
    access text not null check (access in ('read-only', 'none')),
    at     timestamptz not null default clock_timestamp()     -- since when it is this one
);
alter table tenancy.restriction enable row level security;    -- not forced: admit reads it as its owner
create policy tenancy_system on tenancy.restriction to tenancy_system using (true) with check (true);
grant select, insert, update, delete on tenancy.restriction to tenancy_system;

-- Asked at the head of each unit by a DB that places tenants. It makes the transaction read-only where the tenant may not
-- write, which no later statement can undo, and fails where it may do nothing.
create function tenancy.admit(tenant text) returns text
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    allowed text;
begin
    select r.access into allowed from tenancy.restriction r where r.tenant = $1;
    if not found then
        return 'read-write';
    elsif allowed = 'none' then
        raise exception 'tenancy: this database is not the place of the tenant any more'
            using errcode = 'TN421', hint = 'Look the tenant''s place up again.';
    end if;
    perform set_config('transaction_read_only', 'on', true);
    return allowed;
end
$$;
revoke all on function tenancy.admit(text) from public;
grant execute on function tenancy.admit(text) to tenancy_app, tenancy_system;
