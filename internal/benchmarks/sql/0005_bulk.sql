-- A table for bulk writes under row-level security, and the same shape without any.
create table bench.items (
    tenant_id  text not null,
    id         text not null,
    version    bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    name       text not null,
    amount     bigint not null,
    primary key (tenant_id, id)
);
select tenancy.protect('bench.items');
create table bench.items_bare (like bench.items including all);
alter table bench.items_bare alter column tenant_id drop default;
grant select, insert, delete on bench.items_bare to tenancy_app;
-- Run by the benchmark as its owner between the rounds, so that no round pays for the rows of another one.
create function bench.empty_items() returns void language sql security definer set search_path = pg_catalog, pg_temp
    as 'truncate bench.items, bench.items_bare';
grant execute on function bench.empty_items() to tenancy_app;
