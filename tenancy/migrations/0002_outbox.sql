-- Events of committed units, and the marks of consumers.

create table tenancy.outbox (
    seq       bigint generated always as identity,           -- order of events that became visible together
    xid       xid8 not null default pg_current_xact_id(),     -- top-level transaction, in savepoints too
    id        uuid not null,                                  -- version 7, made by the client
    tenant_id text not null,                                  -- '' for a system unit without a tenant
    type      text not null,
    key       text not null default '',
    payload   bytea not null,                                 -- the emitted bytes, unchanged
    at        timestamptz not null default clock_timestamp()
) partition by range (at);
create table tenancy.outbox_default partition of tenancy.outbox default;
create index outbox_xid on tenancy.outbox (xid);
create index outbox_id on tenancy.outbox (id);                -- looked up after a lost COMMIT answer

alter table tenancy.outbox enable row level security;
alter table tenancy.outbox force row level security;
alter table tenancy.outbox_default enable row level security;
alter table tenancy.outbox_default force row level security;
create policy tenancy_app_insert on tenancy.outbox for insert to tenancy_app
    with check (tenant_id = (select tenancy.tenant_id()));
create policy tenancy_app_select on tenancy.outbox for select to tenancy_app
    using (tenant_id = (select tenancy.tenant_id()));
create policy tenancy_system on tenancy.outbox to tenancy_system using (true) with check (true);
-- The app role writes events and can ask whether an id of its tenant exists; it reads no payload and not its own queue.
grant insert (id, tenant_id, type, key, payload), select (id, tenant_id) on tenancy.outbox to tenancy_app;
grant select, delete, insert (id, tenant_id, type, key, payload) on tenancy.outbox to tenancy_system;

-- Whether an event exists, asked after its transaction, which held the advisory lock, has ended one way or the other.
-- Volatile: the second statement must see what was committed while the first one waited.
create function tenancy.committed(fence bigint, event text) returns boolean
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(fence);
    return exists (select from tenancy.outbox where id = event::uuid);
end
$$;
revoke all on function tenancy.committed(bigint, text) from public;
grant execute on function tenancy.committed(bigint, text) to tenancy_app, tenancy_system;

create table tenancy.inbox (
    tenant_id text not null,
    consumer  text not null,
    event_id  uuid not null,
    at        timestamptz not null default clock_timestamp(),
    primary key (tenant_id, consumer, event_id)
);
alter table tenancy.inbox enable row level security;
alter table tenancy.inbox force row level security;
create policy tenancy_app on tenancy.inbox to tenancy_app
    using (tenant_id = (select tenancy.tenant_id())) with check (tenant_id = (select tenancy.tenant_id()));
create policy tenancy_system on tenancy.inbox to tenancy_system using (true) with check (true);
grant select, insert, delete on tenancy.inbox to tenancy_app, tenancy_system;
