-- The reader of the outbox as a function, its partitions by day, and the sinks that keep data from being dropped.

create index outbox_seq on tenancy.outbox (seq);              -- the order inside a tick, for ticks of many batches
create index inbox_at on tenancy.inbox (at);

-- The name of the log: whose transaction ids the outbox has. A copy of the files keeps it, and a restored dump does not:
-- there the row was not written by the transaction that it names.
create table tenancy.outbox_identity (
    id   uuid not null default gen_random_uuid(),
    xid  xid8 not null default pg_current_xact_id(),
    sole boolean primary key default true check (sole)
);
alter table tenancy.outbox_identity enable row level security;
alter table tenancy.outbox_identity force row level security;
create policy tenancy_system on tenancy.outbox_identity to tenancy_system using (true) with check (true);
grant select, insert, update on tenancy.outbox_identity to tenancy_system;

-- Starts with "none" where the log has no name yet. A copy made by CREATE DATABASE … TEMPLATE has another oid.
create function tenancy.outbox_log() returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce((select id::text from tenancy.outbox_identity where xmin::text::bigint = xid::text::bigint & 4294967295), 'none')
        || '/' || (select oid from pg_database where datname = current_database())
$$;

-- Gives the log a name if it has none.
create function tenancy.outbox_identify() returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into tenancy.outbox_identity as i default values
    on conflict (sole) do update set id = excluded.id, xid = excluded.xid
    where i.xmin::text::bigint <> i.xid::text::bigint & 4294967295
$$;

-- The next events of a reader, see package outbox: those visible in the snapshot until and not in since, in order of seq.
-- until null means the present; then few of many rows are wanted and the index on xid finds them. Given, the reader is
-- in the middle of a large tick and walks the index on seq. There is always a first row: it tells where the log stands.
-- known is false if the anchor, an event that the reader has, is not in this log.
-- The plans must not depend on statistics, which lag behind in a table of which only the newest rows are read.
create function tenancy.outbox_tick(since text, until text, after bigint, most int, most_bytes bigint, anchor_xid text, anchor text)
    returns table (upto text, log text, now timestamptz, known boolean, found bigint,
        seq bigint, xid bigint, id text, tenant_id text, type text, key text, payload bytea, at timestamptz)
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
    set enable_seqscan = off
    set enable_bitmapscan = off
    set jit = off
    set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    s1 pg_snapshot := $1;
    s2 pg_snapshot := coalesce($2::pg_snapshot, pg_current_snapshot());
    is_known boolean;
    rest boolean := $2 is not null or pg_snapshot_xmax(s1) = '1'; -- a new reader lacks most rows
begin
    if pg_is_in_recovery() then
        raise exception 'tenancy: the outbox is read on the primary' using errcode = 'read_only_sql_transaction';
    end if;
    if $7 <> '' then
        is_known := exists (select from tenancy.outbox o where o.xid = $6::xid8 and o.id = $7::uuid)
            or exists (select from tenancy.outbox_erased e where e.xid = $6::xid8 and e.id = $7::uuid);
    else -- events of the future are those of another log
        is_known := not exists (select from tenancy.outbox o where o.xid >= pg_snapshot_xmax(pg_current_snapshot()) and o.seq > $3);
    end if;
    return query
    with hits as not materialized (
        select * from (
            select o.* from tenancy.outbox o
            where not rest and o.xid >= pg_snapshot_xmax(s1) and o.xid < pg_snapshot_xmax(s2)
            union all
            select o.* from tenancy.outbox o
            where not rest and o.xid = any (array(select pg_snapshot_xip(s1)))
            offset 0
        ) u
        where u.seq > $3 and pg_visible_in_snapshot(u.xid, s2)
    ), head as (
        select * from (select h.* from hits h order by h.seq limit $4) h where not rest
        union all
        select * from (
            select o.* from tenancy.outbox o
            where rest and o.seq > $3 and pg_visible_in_snapshot(o.xid, s2) and not pg_visible_in_snapshot(o.xid, s1)
            order by o.seq limit $4
        ) w
    ), sized as (
        select h.*, count(*) over () as found, sum(octet_length(h.payload)) over (order by h.seq) as bytes from head h
    )
    select s2::text, tenancy.outbox_log(), clock_timestamp(), is_known, e.found,
        e.seq, e.xid::text::bigint, e.id::text, e.tenant_id, e.type, e.key, e.payload, e.at
    from (values (1)) one left join (
        select s.* from sized s where s.bytes <= $5 or s.bytes = octet_length(s.payload)
    ) e on true
    order by e.seq;
end
$$;
revoke all on function tenancy.outbox_tick(text, text, bigint, int, bigint, text, text) from public;
grant execute on function tenancy.outbox_tick(text, text, bigint, int, bigint, text, text) to tenancy_system;

-- What relays tell about the sinks that they serve, about once a minute. A partition is dropped only when every sink has
-- all of it; the position here is never ahead of the one in the sink. No tenant's data, and not for the app role.
create table tenancy.outbox_sink (
    id       uuid primary key,                                -- made by the first relay, part of the sink's position
    name     text not null,                                   -- for humans
    position text not null,
    at       timestamptz not null default clock_timestamp()   -- when a relay told so
);
alter table tenancy.outbox_sink enable row level security;
alter table tenancy.outbox_sink force row level security;
create policy tenancy_system on tenancy.outbox_sink to tenancy_system using (true) with check (true);
grant select, insert, update, delete on tenancy.outbox_sink to tenancy_system;

-- Where sinks that live in this database keep their position, see outbox.Project.
create table tenancy.outbox_projection (
    name     text primary key,
    position text not null
);
alter table tenancy.outbox_projection enable row level security;
alter table tenancy.outbox_projection force row level security;
create policy tenancy_system on tenancy.outbox_projection to tenancy_system using (true) with check (true);
grant select, insert, update, delete on tenancy.outbox_projection to tenancy_system;

-- Partitions. The functions that change them run as the owner, who sees no rows: row-level security is forced. So whether
-- a partition is still needed is asked by the system role, in between.

create function tenancy.outbox_part(day date) returns text
    language sql immutable
    set search_path = pg_catalog, pg_temp
as $$ select 'outbox_' || to_char(day, 'YYYYMMDD') $$;
revoke all on function tenancy.outbox_part(date) from public;

-- Policies and privileges of a partition: nobody but the system role touches one directly.
create function tenancy.outbox_close(part regclass) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('alter table %s enable row level security', part);
    execute format('alter table %s force row level security', part);
    execute format('create policy tenancy_system on %s to tenancy_system using (true) with check (true)', part);
    execute format('grant select on %s to tenancy_system', part);
end
$$;
revoke all on function tenancy.outbox_close(regclass) from public;
select tenancy.outbox_close('tenancy.outbox_default');
grant delete on tenancy.outbox_default to tenancy_system; -- it is emptied row by row

-- What was deleted one by one, as by the purge of a tenant: readers must be able to tell that from a log that was set back.
create table tenancy.outbox_erased (
    xid xid8 not null,
    id  uuid not null,
    at  timestamptz not null                                   -- of the event
);
create index outbox_erased_xid on tenancy.outbox_erased (xid);
alter table tenancy.outbox_erased enable row level security;
alter table tenancy.outbox_erased force row level security;
create policy tenancy_system on tenancy.outbox_erased to tenancy_system using (true) with check (true);
grant select, insert, delete on tenancy.outbox_erased to tenancy_system;

create function tenancy.outbox_erase() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    insert into tenancy.outbox_erased (xid, id, at) values (old.xid, old.id, old.at);
    return null;
end
$$;
revoke all on function tenancy.outbox_erase() from public;
create trigger outbox_erase after delete on tenancy.outbox for each row execute function tenancy.outbox_erase();

-- Adds the partition of a day (UTC), if it is missing and the default partition has no row of that day; true if it did.
create function tenancy.outbox_add(day date, patience int) returns boolean
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('lock_timeout', patience::text, true);
    perform pg_advisory_xact_lock(hashtext('tenancy.outbox'), 0);
    if to_regclass('tenancy.' || tenancy.outbox_part(day)) is not null then
        return false;
    end if;
    execute format('create table tenancy.%I partition of tenancy.outbox for values from (%L) to (%L)',
        tenancy.outbox_part(day), day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
    perform tenancy.outbox_close(('tenancy.' || tenancy.outbox_part(day))::regclass);
    return true;
exception when check_violation or lock_not_available then
    return false;
end
$$;

-- Locks the whole outbox, and returns true, or if somebody writes all the time only the partition. Writers wait for no
-- longer than patience milliseconds, readers too.
create function tenancy.outbox_lock(day date, patience int) returns boolean
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('lock_timeout', patience::text, true);
    begin
        lock table only tenancy.outbox in access exclusive mode;
        execute format('lock table tenancy.%I in access exclusive mode', tenancy.outbox_part(day));
        return true;
    exception when lock_not_available then
        execute format('lock table tenancy.%I in access exclusive mode', tenancy.outbox_part(day));
        return false;
    end;
end
$$;

-- Drops the partition of a past day, or empties it if the outbox itself is not locked: that gives the space back, too.
create function tenancy.outbox_drop(day date, whole boolean) returns void
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if day >= (now() at time zone 'UTC')::date then
        raise exception 'tenancy: the outbox of % is in use', day using errcode = 'invalid_parameter_value';
    end if;
    if whole then
        execute format('drop table tenancy.%I', tenancy.outbox_part(day));
    else
        execute format('truncate tenancy.%I', tenancy.outbox_part(day));
    end if;
end
$$;

-- Whether a sink lacks an event of a day. $2 the snapshots that the sinks have, $3 the sequence up to which they have all.
create function tenancy.outbox_needed(day date, since text[], floors bigint[]) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from unnest($2::pg_snapshot[], $3) s (since, floor), tenancy.outbox o
        where o.at >= day::timestamp at time zone 'UTC' and o.at < (day + 1)::timestamp at time zone 'UTC'
          and o.xid >= pg_snapshot_xmin(s.since) and o.seq > s.floor and not pg_visible_in_snapshot(o.xid, s.since))
$$;

-- Removes the events of a day if no sink needs them: 'dropped', 'emptied' (the partition stays for now), 'needed', 'busy'.
create function tenancy.outbox_retire(day date, since text[], floors bigint[], patience int) returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    whole boolean;
begin
    if tenancy.outbox_needed(day, since, floors) then
        return 'needed';
    end if;
    whole := tenancy.outbox_lock(day, patience);
    if tenancy.outbox_needed(day, since, floors) then -- a transaction that had been open
        return 'needed';
    end if;
    perform tenancy.outbox_drop(day, whole);
    return case when whole then 'dropped' else 'emptied' end;
exception when lock_not_available then
    return 'busy';
end
$$;

-- Waits until no open transaction has written events, and lets none write until the end of this one.
create function tenancy.outbox_freeze(patience int) returns void
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('lock_timeout', patience::text, true);
    lock table only tenancy.outbox in share row exclusive mode;
end
$$;

do $$
declare
    f regprocedure;
begin
    for f in select p.oid from pg_proc p where p.pronamespace = 'tenancy'::regnamespace and p.proname in
        ('outbox_log', 'outbox_identify', 'outbox_add', 'outbox_lock', 'outbox_drop', 'outbox_needed', 'outbox_retire', 'outbox_freeze')
    loop
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to tenancy_system', f);
    end loop;
end
$$;
grant execute on function tenancy.outbox_part(date) to tenancy_system;

do $$
begin
    for ahead in 0..7 loop
        perform tenancy.outbox_add((now() at time zone 'UTC')::date + ahead, 5000);
    end loop;
end
$$;
