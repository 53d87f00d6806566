-- As in 0009, but tenants are compared whole. A cast to a type with a length, or to a domain over one, cuts what is longer without
-- a word: to varchar(8), tenants customer-1 and customer-2 were the same. So the tenant is cast to the type without its length, and
-- as text for all that is text; a tenant that does not fit into the column has no rows and is refused where it writes some.
-- Tables protected before get it when they are protected again: guard.Audit finds those that need it.
create or replace function tenancy.protect(target regclass, tenant_column name default 'tenant_id') returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    kind text;
    part regclass;
begin
    with recursive types (oid) as (
        select atttypid from pg_attribute where attrelid = target and attname = tenant_column and not attisdropped
        union all
        select t.typbasetype from types join pg_type t using (oid) where t.typtype = 'd'
    )
    select case when t.oid in ('varchar'::regtype, 'name'::regtype) then 'text' else format_type(t.oid, -1) end into kind
    from types join pg_type t using (oid) where t.typtype <> 'd';
    if kind is null then
        raise exception 'tenancy: table % has no column %', target, tenant_column using errcode = 'undefined_column';
    end if;
    for part in
        select target
        union all
        select p.relid from pg_partition_tree(target) p join pg_class c on c.oid = p.relid
        where p.relid <> target and c.relkind in ('r', 'p')
    loop
        execute format('alter table %s enable row level security', part);
        execute format('alter table %s force row level security', part);
        execute format('alter table %s alter column %I set default tenancy.row_tenant()::%s', part, tenant_column, kind);
        execute format('alter table %s alter column %I set not null', part, tenant_column);
        execute format('drop policy if exists tenancy_app on %s', part);
        execute format('drop policy if exists tenancy_system on %s', part);
        execute format('create policy tenancy_app on %s to tenancy_app using (%I = (select tenancy.tenant_id()::%s)) '
            'with check (%I = (select tenancy.tenant_id()::%s))', part, tenant_column, kind, tenant_column, kind);
        execute format('create policy tenancy_system on %s to tenancy_system using (true) with check (true)', part);
    end loop;
    execute format('grant select, insert, update, delete on %s to tenancy_app, tenancy_system', target);
end
$$;
