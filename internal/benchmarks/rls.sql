-- A million rows of a thousand tenants, one of each after the other, as they come in time.
create schema bench;
grant usage on schema bench to tenancy_app, tenancy_system;
create table bench.events (tenant_id text not null, id bigint not null, n integer not null, note text not null);
insert into bench.events
select 'tenant' || t, i, 1, 'event ' || i || ' of tenant ' || t from generate_series(0, 999) i, generate_series(0, 999) t;
alter table bench.events add primary key (tenant_id, id);
select tenancy.protect('bench.events');
