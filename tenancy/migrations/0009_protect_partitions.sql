-- As in 0004, for the partitions that the table has, too: a query of the parent asks the parent's policies only, and whoever
-- reads a partition itself asks those of the partition. Rights are granted on the table that was named and not on its
-- partitions; foreign tables among them cannot have policies. Run it again when there are new partitions: guard.Audit
-- finds those without row-level security.
create or replace function tenancy.protect(target regclass, tenant_column name default 'tenant_id') returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    kind text;
    part regclass;
begin
    select format_type(atttypid, atttypmod) into kind
    from pg_attribute where attrelid = target and attname = tenant_column and not attisdropped;
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
