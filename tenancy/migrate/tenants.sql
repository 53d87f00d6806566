-- The central ledger of tenants with a schema or a database of their own. Who is behind a release of 12 files:
-- select tenant, count(*) from ashlar.tenant_migrations group by tenant having count(*) < 12;

create schema if not exists ashlar;
create table if not exists ashlar.tenant_migrations (
    tenant   text not null,
    source   text not null,
    name     text not null,
    checksum text not null,
    at       timestamptz not null default clock_timestamp(),
    primary key (tenant, source, name)
);
-- Why a tenant is behind: its last failure, until it succeeds.
create table if not exists ashlar.tenant_failures (
    tenant text primary key,
    error  text not null,
    at     timestamptz not null default clock_timestamp()
);
