-- Days of the outbox come and go without waiting for writers that are always there, and without a hole for new sinks.

-- As in 0006, but a day that cannot have events yet is attached: that locks the default partition alone, so neither do
-- writers wait for it nor it for them. A writer that was on its way to the default partition would be refused, so a day
-- that may have events by now is made under a lock of the whole outbox.
-- The bounds are written and read as text, which would depend on the session.
create or replace function tenancy.outbox_add(day date, patience int) returns boolean
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
    set datestyle = 'ISO, YMD'
as $$
declare
    part   text := format('tenancy.%I', tenancy.outbox_part(day));
    bounds text := format('for values from (%L) to (%L)', day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
begin
    perform set_config('lock_timeout', patience::text, true);
    perform pg_advisory_xact_lock(hashtext('tenancy.outbox'), 0);
    if to_regclass(part) is not null then
        return false;
    end if;
    if day > (now() at time zone 'UTC')::date + 1 then
        execute format('create table %s (like tenancy.outbox including defaults)', part);
        perform tenancy.outbox_close(part::regclass);
        execute format('alter table tenancy.outbox attach partition %s %s', part, bounds);
    else
        execute format('create table %s partition of tenancy.outbox %s', part, bounds);
        perform tenancy.outbox_close(part::regclass);
    end if;
    return true;
exception when check_violation or lock_not_available then
    return false;
end
$$;

-- As the one in 0006, which processes of the version before call, but one at a time, and with regard to sinks besides those
-- that were asked about, $2: a sink that came meanwhile may have the events of the day before already.
-- 'gone' if somebody else was faster.
create function tenancy.outbox_retire(day date, sinks text[], since text[], floors bigint[], patience int) returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    whole boolean;
begin
    if tenancy.outbox_needed(day, since, floors) then
        return 'needed';
    end if;
    perform set_config('lock_timeout', patience::text, true);
    perform pg_advisory_xact_lock(hashtext('tenancy.outbox'), 0);
    if to_regclass('tenancy.' || tenancy.outbox_part(day)) is null then
        return 'gone';
    end if;
    whole := tenancy.outbox_lock(day, patience);
    -- Events of a transaction that had been open; and who reads events from now on reads them without this day.
    if exists (select from tenancy.outbox_sink s where s.id::text <> all (coalesce(sinks, '{}')))
        or tenancy.outbox_needed(day, since, floors) then
        return 'needed';
    end if;
    perform tenancy.outbox_drop(day, whole);
    return case when whole then 'dropped' else 'emptied' end;
exception when lock_not_available then
    return 'busy';
end
$$;
revoke all on function tenancy.outbox_retire(date, text[], text[], bigint[], int) from public;
grant execute on function tenancy.outbox_retire(date, text[], text[], bigint[], int) to tenancy_system;
