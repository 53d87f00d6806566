-- What the catalogue knows about tables that hold rows of tenants: those with a policy on the tenant of the transaction,
-- and those that have a column tenant_id and no such policy. Partitions count as their root. One
-- JSON object per table.
with tenant_policies as (
    -- The tenant column is the one that the policy compares with the tenant of the transaction.
    select p.polrelid as rel, min(a.attname::text) as col, count(distinct a.attnum) as cols
    from pg_policy p
    join pg_depend f on f.classid = 'pg_policy'::regclass and f.objid = p.oid and f.refclassid = 'pg_proc'::regclass
    join pg_proc fn on fn.oid = f.refobjid and fn.proname in ('tenant_id', 'tenant_or_none')
        and fn.pronamespace = 'tenancy'::regnamespace
    join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_class'::regclass
        and d.refobjid = p.polrelid and d.refobjsubid > 0
    join pg_attribute a on a.attrelid = p.polrelid and a.attnum = d.refobjsubid
    where p.polroles && array[0::oid, to_regrole('tenancy_app')::oid]
    group by p.polrelid
),
held as (
    select c.oid, n.nspname, c.relname, c.relkind, has_schema_privilege(n.oid, 'usage') as usable,
        case when t.cols = 1 then t.col else b.attname::text end as col,
        case
            when c.relkind not in ('r', 'p') then 'no table'
            when not c.relrowsecurity then 'open'
            when t.rel is not null and (t.cols = 1 or b.attname is not null) then 'protected'
            when not exists (select from pg_policy p where p.polrelid = c.oid
                and p.polroles && array[0::oid, to_regrole('tenancy_app')::oid]) then 'system'
            else 'open'
        end as standing
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join tenant_policies t on t.rel = c.oid
    left join pg_attribute b on b.attrelid = c.oid and b.attname = 'tenant_id' and not b.attisdropped
    where c.relkind in ('r', 'p', 'm', 'f') and not c.relispartition and c.relpersistence <> 't'
        and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_'
        and (t.rel is not null or b.attname is not null)
)
select json_build_object(
    'oid', h.oid::int8, 'name', h.nspname || '.' || h.relname, 'sql', format('%I.%I', h.nspname, h.relname),
    'partitioned', h.relkind = 'p', 'deletable', h.usable and has_table_privilege(h.oid, 'delete'),
    'standing', h.standing, 'tenant', coalesce(h.col, 'tenant_id'),
    'columns', (
        select json_agg(json_build_object(
            'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
            'generated', a.attgenerated <> '', 'readable', h.usable and has_column_privilege(h.oid, a.attnum, 'select'),
            -- not pg_get_serial_sequence, which fails on schemas that the role may not use
            'numbered', exists (select from pg_depend s join pg_class q on q.oid = s.objid and q.relkind = 'S'
                where s.classid = 'pg_class'::regclass and s.refclassid = 'pg_class'::regclass and s.refobjid = h.oid
                    and s.refobjsubid = a.attnum and s.deptype in ('a', 'i'))
        ) order by a.attnum)
        from pg_attribute a where a.attrelid = h.oid and a.attnum > 0 and not a.attisdropped),
    'keys', (
        select json_agg(json_build_object('columns', k.columns) order by k.indisprimary desc, k.indexrelid)
        from (
            select i.indexrelid, i.indisprimary,
                (select json_agg(a.attname order by o.n)
                 from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) with ordinality o(attnum, n)
                 join pg_attribute a on a.attrelid = h.oid and a.attnum = o.attnum) as columns
            from pg_index i where i.indrelid = h.oid and i.indisunique and i.indexprs is null and i.indpred is null) k),
    'foreign_keys', (
        select json_agg(json_build_object(
            'name', f.conname, 'target', coalesce(pg_partition_root(f.confrelid), f.confrelid::regclass)::oid::int8,
            'columns', (select json_agg(a.attname order by o.n) from unnest(f.conkey) with ordinality o(attnum, n)
                join pg_attribute a on a.attrelid = h.oid and a.attnum = o.attnum),
            'target_columns', (select json_agg(a.attname order by o.n) from unnest(f.confkey) with ordinality o(attnum, n)
                join pg_attribute a on a.attrelid = f.confrelid and a.attnum = o.attnum),
            'deferrable', f.condeferrable
        ) order by f.conname)
        from pg_constraint f where f.conrelid = h.oid and f.contype = 'f' and f.conparentid = 0)
)::text
from held h
order by h.nspname, h.relname
