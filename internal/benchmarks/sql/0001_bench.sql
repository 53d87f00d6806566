-- A table under row-level security, and its twin without any.
create schema bench;
grant usage on schema bench to tenancy_app;
create table bench.counters (tenant_id text, id integer, n integer not null, primary key (tenant_id, id));
select tenancy.protect('bench.counters');
create table bench.bare (id integer primary key, n integer not null);
insert into bench.bare select g, 0 from generate_series(1, 1000) g;
grant select on bench.bare to tenancy_app;
