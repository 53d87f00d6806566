-- What a unit of work asks the server to assert, so that COMMIT can travel in the same batch as the assertion.

-- Fails unless as many rows changed as wanted; TN409 is tenancy.ErrStale.
create function tenancy.expect(changed bigint, wanted bigint, what text) returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    if changed is distinct from wanted then
        raise exception 'tenancy: % rows changed of "%", expected %', changed, what, wanted
            using errcode = 'TN409', hint = 'Somebody else has changed or deleted it. Load it again.';
    end if;
end
$$;
revoke all on function tenancy.expect(bigint, bigint, text) from public;
grant execute on function tenancy.expect(bigint, bigint, text) to tenancy_app, tenancy_system;

-- Fails on a replica that has not replayed the log up to wanted; TN503 makes the unit read on the primary. A server that
-- is not in recovery has all there is.
create function tenancy.require_lsn(wanted pg_lsn) returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_is_in_recovery() and coalesce(pg_last_wal_replay_lsn() < wanted, true) then
        raise exception 'tenancy: this replica has not replayed % yet', wanted using errcode = 'TN503';
    end if;
end
$$;
revoke all on function tenancy.require_lsn(pg_lsn) from public;
grant execute on function tenancy.require_lsn(pg_lsn) to tenancy_app, tenancy_system;
