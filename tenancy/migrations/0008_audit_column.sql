-- The audit log keeps to the tenant of the row, whatever the column is called, and nobody empties it by the partition.

-- The column that says whose a row is: the one that a policy of the table, or of one that it is a partition of, compares
-- with the tenant; else tenant_id; null if there is neither, or policies compare several columns.
create function tenancy.audit_column(target regclass) returns name
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    with compared as (
        select distinct a.attname
        from pg_policy p
        cross join lateral (values (pg_get_expr(p.polqual, p.polrelid)), (pg_get_expr(p.polwithcheck, p.polrelid))) e (expr)
        join pg_attribute a on a.attrelid = p.polrelid and a.attnum > 0 and not a.attisdropped
        where (p.polrelid = target or p.polrelid in (select pg_partition_ancestors(target)))
          and e.expr ~ ('(^|[( ])' || regexp_replace(quote_ident(a.attname), '(\W)', '\\\1', 'g')
              || '(\)?::[\w .()]+?)? = \(*( SELECT \(*)?tenancy\.tenant_id\(\)')
    )
    select coalesce((select min(attname::text) from compared having count(*) = 1),
        (select attname from pg_attribute where attrelid = target and attname = 'tenant_id' and not attisdropped))
$$;
revoke all on function tenancy.audit_column(regclass) from public;
grant execute on function tenancy.audit_column(regclass) to tenancy_app, tenancy_system;

-- As in 0005, with the tenant column as $3 of the trigger, empty for rows of no tenant: their entries belong to the unit's.
-- A trigger that was made without it has tenant_id, or looks for the column at each row until audit_changes is run again.
create or replace function tenancy.audit_row() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    older  jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) else '{}' end;
    newer  jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) else '{}' end;
    who    jsonb := coalesce(nullif(current_setting('tenancy.actor', true), '')::jsonb, '{}');
    hidden text[] := tg_argv[0]::text[];
    keys   text[] := tg_argv[1]::text[];
    tenant text := coalesce(tg_argv[2], case when older || newer ? 'tenant_id' then 'tenant_id' else tenancy.audit_column(tg_relid) end, '');
    moved  boolean := tg_op = 'UPDATE' and older ->> tenant is distinct from newer ->> tenant;
begin
    -- A row that moves to another tenant leaves one log and enters another: neither tells what it held in the other.
    insert into tenancy.audit (tenant_id, actor, on_behalf_of, ip, request_id, reason, action, subject, changes)
    select coalesce(s.either ->> tenant, tenancy.tenant_or_none()), coalesce(who ->> 'id', ''), coalesce(who ->> 'on_behalf_of', ''),
        coalesce(who ->> 'ip', ''), coalesce(who ->> 'request_id', ''), coalesce(who ->> 'reason', ''),
        tg_table_schema || '.' || tg_table_name || '.' || lower(tg_op), concat_ws('/', tg_table_name, s.ident), s.diff
    from (values (older, newer, not moved), (older, '{}', moved), ('{}', newer, moved)) h (old, new, there)
    cross join lateral (
        select v.either, (select string_agg(v.either ->> k.name, '/' order by k.n) from unnest(keys) with ordinality k (name, n)) as ident,
            (select coalesce(jsonb_object_agg(f.name, case
                    when f.name = any (hidden) then '{"hidden": true}'
                    when h.old = '{}' then jsonb_build_object('new', h.new -> f.name)
                    when h.new = '{}' then jsonb_build_object('old', h.old -> f.name)
                    else jsonb_build_object('old', h.old -> f.name, 'new', h.new -> f.name)
                end), '{}')
             from jsonb_object_keys(h.old || h.new) f (name)
             where h.old -> f.name is distinct from h.new -> f.name) as diff
        from (select case when h.new = '{}' then h.old else h.new end as either) v
    ) s
    where h.there and (tg_op <> 'UPDATE' or s.diff <> '{}');
    return null;
end
$$;

-- As in 0005, for any tenant column: the one named, else what audit_column finds. An empty name says that the rows are of no
-- tenant. A table with row-level security whose column is not found is refused. Run it again for tables without tenant_id
-- that were given to it before.
drop function tenancy.audit_changes(regclass, text[]);
create function tenancy.audit_changes(target regclass, hidden text[] default '{}', tenant_column name default null) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    tenant text := coalesce(tenant_column, tenancy.audit_column(target));
    keys   text[];
    wrong  text;
begin
    if tenant is null and (select relrowsecurity from pg_class where oid = target) then
        raise exception 'tenancy: which column of % says whose a row is, no policy tells', target using errcode = 'invalid_table_definition',
            hint = 'Name it: tenancy.audit_changes(…, tenant_column => …), or '''' if the rows are of no tenant.';
    end if;
    tenant := coalesce(tenant, '');
    select h into wrong from unnest(hidden || tenant) h
    where h <> '' and not exists (select from pg_attribute where attrelid = target and attname = h and not attisdropped);
    if wrong is not null then
        raise exception 'tenancy: table % has no column %', target, wrong using errcode = 'undefined_column';
    end if;
    select coalesce(array_agg(a.attname::text order by k.n), '{}') into keys
    from pg_index i, unnest(i.indkey) with ordinality as k (num, n), pg_attribute a
    where i.indrelid = target and i.indisprimary and a.attrelid = target and a.attnum = k.num and a.attname <> tenant;
    execute format('drop trigger if exists tenancy_audit on %s', target);
    execute format('create trigger tenancy_audit after insert or update or delete on %s for each row '
        'execute function tenancy.audit_row(%L, %L, %L)', target, hidden, keys, tenant);
end
$$;
revoke all on function tenancy.audit_changes(regclass, text[], name) from public;

-- As in 0005, but a partition is closed to TRUNCATE, too, which no trigger of its parent sees, also one that was made by
-- hand; and keep has a floor, so that nobody with the system role's rights clears the log of what was just done.
create or replace function tenancy.audit_partitions(keep interval default null, ahead int default 3)
    returns table (partition text, done text)
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
    set lock_timeout = '2s'
as $$
declare
    month timestamptz;
    part  name;
begin
    if keep < interval '30 days' or ahead not between 0 and 120 then
        raise exception 'tenancy: keep is less than 30 days or ahead is not between 0 and 120' using errcode = 'invalid_parameter_value';
    end if;
    perform pg_advisory_xact_lock(hashtext('tenancy.audit_partitions'));
    for month in select generate_series(date_trunc('month', now()), date_trunc('month', now()) + make_interval(months => ahead), '1 month') loop
        part := 'audit_' || to_char(month, 'YYYYMM');
        continue when to_regclass('tenancy.' || part) is not null;
        begin
            execute format('create table tenancy.%I partition of tenancy.audit for values from (%L) to (%L)',
                part, month, month + interval '1 month');
            return query select part::text, 'made';
        exception when check_violation then
            null; -- entries of that month are in audit_default already
        end;
    end loop;
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'tenancy.audit'::regclass and not (c.relrowsecurity and c.relforcerowsecurity and exists
            (select from pg_trigger where tgrelid = c.oid and tgname = 'tenancy_no_truncate'))
    loop
        execute format('alter table tenancy.%I enable row level security', part);
        execute format('alter table tenancy.%I force row level security', part);
        execute format('create or replace trigger tenancy_no_truncate before truncate on tenancy.%I '
            'for each statement execute function tenancy.audit_refuse()', part);
    end loop;
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'tenancy.audit'::regclass and c.relname ~ '^audit_\d{6}$'
          and to_date(right(c.relname, 6), 'YYYYMM')::timestamptz + interval '1 month' < now() - keep
        order by 1
    loop
        execute format('drop table tenancy.%I', part);
        return query select part::text, 'dropped';
    end loop;
end
$$;
select tenancy.audit_partitions();
