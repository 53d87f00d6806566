-- The audit log: append-only, for everybody. Whoever wants to be rid of entries drops a month of them.

create table tenancy.audit (
    id           uuid not null default gen_random_uuid(),
    tenant_id    text not null,                                  -- '' for a system unit without a tenant
    at           timestamptz not null default clock_timestamp(), -- not grantable to writers: nobody backdates an entry
    role         name not null default session_user,             -- neither is this
    seq          bigint generated always as identity,            -- order of entries of one unit
    actor        text not null default '',
    on_behalf_of text not null default '',
    ip           text not null default '',
    request_id   text not null default '',
    reason       text not null default '',                       -- of tenancy.System
    action       text not null,
    subject      text not null default '',
    changes      jsonb not null default '{}'                     -- {"field": {"old": …, "new": …}}, changed fields only
) partition by range (at);
create index audit_tenant on tenancy.audit (tenant_id, seq);
create index audit_subject on tenancy.audit (tenant_id, subject, seq);
create index audit_id on tenancy.audit (id);                     -- looked up after a lost COMMIT answer

alter table tenancy.audit enable row level security;
alter table tenancy.audit force row level security;
create policy tenancy_app_insert on tenancy.audit for insert to tenancy_app
    with check (tenant_id = (select tenancy.tenant_id()));
create policy tenancy_app_select on tenancy.audit for select to tenancy_app
    using (tenant_id = (select tenancy.tenant_id()));
create policy tenancy_system_insert on tenancy.audit for insert to tenancy_system with check (true);
create policy tenancy_system_select on tenancy.audit for select to tenancy_system using (true);
-- The owner writes too: triggers on tables that it changes, and functions that run as the owner.
create policy tenancy_owner_insert on tenancy.audit for insert to current_user with check (true);
grant select, insert (id, tenant_id, actor, on_behalf_of, ip, request_id, reason, action, subject, changes)
    on tenancy.audit to tenancy_app, tenancy_system;

-- Rights keep the two roles from changing entries and forced row-level security the owner; this stops a superuser's slip.
create function tenancy.audit_refuse() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'tenancy: the audit log is append-only' using errcode = 'insufficient_privilege',
        hint = 'Entries leave by the month: tenancy.audit_partitions.';
end
$$;
create trigger tenancy_append_only before update or delete on tenancy.audit
    for each row execute function tenancy.audit_refuse();
create trigger tenancy_no_truncate before truncate on tenancy.audit
    for each statement execute function tenancy.audit_refuse();

-- Makes partitions for this month and the next ones, and drops months that ended longer ago than keep (null keeps all).
-- Run it monthly as the system role; returns the partitions made and dropped. Until then, and for a month that it comes too
-- late for, entries go to the partition audit_default, which it never drops.
create function tenancy.audit_partitions(keep interval default null, ahead int default 3)
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
    if keep < interval '0 days' or ahead not between 0 and 120 then
        raise exception 'tenancy: keep is negative or ahead is not between 0 and 120' using errcode = 'invalid_parameter_value';
    end if;
    perform pg_advisory_xact_lock(hashtext('tenancy.audit_partitions'));
    for month in select generate_series(date_trunc('month', now()), date_trunc('month', now()) + make_interval(months => ahead), '1 month') loop
        part := 'audit_' || to_char(month, 'YYYYMM');
        continue when to_regclass('tenancy.' || part) is not null;
        begin
            execute format('create table tenancy.%I partition of tenancy.audit for values from (%L) to (%L)',
                part, month, month + interval '1 month');
            execute format('alter table tenancy.%I enable row level security', part);
            execute format('alter table tenancy.%I force row level security', part);
            return query select part::text, 'made';
        exception when check_violation then
            null; -- entries of that month are in audit_default already
        end;
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
revoke all on function tenancy.audit_partitions(interval, int) from public;
grant execute on function tenancy.audit_partitions(interval, int) to tenancy_system;

create table tenancy.audit_default partition of tenancy.audit default;
alter table tenancy.audit_default enable row level security;
alter table tenancy.audit_default force row level security;
select tenancy.audit_partitions();

-- The trigger variant, for tables that raw SQL changes too: one entry per changed row, in the transaction that changes it.
-- $1 of the trigger lists the columns whose values stay out of the log, $2 the columns of the primary key.
create function tenancy.audit_row() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    older  jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) else '{}' end;
    newer  jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) else '{}' end;
    either jsonb := case when tg_op = 'DELETE' then older else newer end;
    who    jsonb := coalesce(nullif(current_setting('tenancy.actor', true), '')::jsonb, '{}');
    hidden text[] := tg_argv[0]::text[];
    diff   jsonb;
    ident  text;
begin
    select coalesce(jsonb_object_agg(f.name, case
               when f.name = any (hidden) then '{"hidden": true}'
               when tg_op = 'INSERT' then jsonb_build_object('new', newer -> f.name)
               when tg_op = 'DELETE' then jsonb_build_object('old', older -> f.name)
               else jsonb_build_object('old', older -> f.name, 'new', newer -> f.name)
           end), '{}')
    into diff
    from (select jsonb_object_keys(older || newer) as name) f
    where older -> f.name is distinct from newer -> f.name;
    if tg_op = 'UPDATE' and diff = '{}' then
        return null;
    end if;
    select string_agg(either ->> k.name, '/' order by k.n) into ident
    from unnest(tg_argv[1]::text[]) with ordinality as k (name, n);
    insert into tenancy.audit (tenant_id, actor, on_behalf_of, ip, request_id, reason, action, subject, changes)
    values (coalesce(either ->> 'tenant_id', tenancy.tenant_or_none()), coalesce(who ->> 'id', ''), coalesce(who ->> 'on_behalf_of', ''),
        coalesce(who ->> 'ip', ''), coalesce(who ->> 'request_id', ''), coalesce(who ->> 'reason', ''),
        tg_table_schema || '.' || tg_table_name || '.' || lower(tg_op), concat_ws('/', tg_table_name, ident), diff);
    return null;
end
$$;
revoke all on function tenancy.audit_row() from public;

-- Lets each change of a row of the table write an audit entry, whoever makes it and by whatever SQL. The values of the
-- columns in hidden stay out of the log (it says only that they changed). Can be run again.
create function tenancy.audit_changes(target regclass, hidden text[] default '{}') returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    keys  text[];
    wrong text;
begin
    select h into wrong from unnest(hidden) h
    where not exists (select from pg_attribute where attrelid = target and attname = h and not attisdropped);
    if wrong is not null then
        raise exception 'tenancy: table % has no column %', target, wrong using errcode = 'undefined_column';
    end if;
    select coalesce(array_agg(a.attname::text order by k.n), '{}') into keys
    from pg_index i, unnest(i.indkey) with ordinality as k (num, n), pg_attribute a
    where i.indrelid = target and i.indisprimary and a.attrelid = target and a.attnum = k.num and a.attname <> 'tenant_id';
    execute format('drop trigger if exists tenancy_audit on %s', target);
    execute format('create trigger tenancy_audit after insert or update or delete on %s for each row '
        'execute function tenancy.audit_row(%L, %L)', target, hidden, keys);
end
$$;
revoke all on function tenancy.audit_changes(regclass, text[]) from public;

-- Whether an event or an audit entry exists; see 0002_outbox.sql.
create or replace function tenancy.committed(fence bigint, event text) returns boolean
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(fence);
    return exists (select from tenancy.outbox where id = event::uuid)
        or exists (select from tenancy.audit where id = event::uuid);
end
$$;
