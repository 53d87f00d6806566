-- Tables of a program, one for each thing that export, import and purge must get right.

create schema app;
grant usage on schema app to tenancy_app, tenancy_system;

create table app.customers (
    tenant_id text not null, id text not null, name text not null,
    name_lc text generated always as (lower(name)) stored,
    primary key (tenant_id, id)
);
create table app.orders (
    tenant_id text not null, id bigint generated always as identity, customer_id text, total numeric(12, 2) not null,
    primary key (tenant_id, id), foreign key (tenant_id, customer_id) references app.customers
);
-- Partitioned; its name sorts before the table that it refers to.
create table app.a_lines (
    tenant_id text not null, order_id bigint not null, line int not null, day date not null, note text,
    primary key (tenant_id, order_id, line, day), foreign key (tenant_id, order_id) references app.orders
) partition by range (day);
create table app.a_lines_old partition of app.a_lines for values from ('2020-01-01') to ('2025-01-01');
create table app.a_lines_new partition of app.a_lines default;
-- Refers to itself.
create table app.folders (
    tenant_id text not null, id int not null, parent int, primary key (tenant_id, id),
    foreign key (tenant_id, parent) references app.folders
);
create table app.nodes (
    tenant_id text not null, id int not null, up int not null, primary key (tenant_id, id),
    foreign key (tenant_id, up) references app.nodes deferrable
);
-- A cycle of two.
create table app.teams (tenant_id text not null, id int not null, lead int, primary key (tenant_id, id));
create table app.people (
    tenant_id text not null, id int not null, team int not null, primary key (tenant_id, id),
    foreign key (tenant_id, team) references app.teams
);
alter table app.teams add foreign key (tenant_id, lead) references app.people;
-- Ids that are unique in the whole database.
create table app.devices (id uuid primary key, tenant_id text not null, serial text not null);
create table app.readings (
    id text primary key, tenant_id text not null, device uuid not null references app.devices, value float8
);
-- The tenant column has another name, and the names want quotes.
create table app."Odd table" (owner text not null, "from" text not null, "a ""b""" int, primary key (owner, "from"));
create type app.mood as enum ('good', 'bad');
create domain app.percent as int check (value between 0 and 100);
create type app.pair as (a int, b text);
create table app.kinds (
    tenant_id text not null, id int not null, b bool, i2 smallint, i8 bigint, n numeric, f4 real, f8 double precision,
    t text, vc varchar(10), c char(5), by bytea, d date, tm time, ts timestamp, tz timestamptz, iv interval, u uuid,
    j json, jb jsonb, ai int[], at text[], m app.mood, p app.percent, pr app.pair, r tstzrange, ip inet, bits bit(5), mny money, x xml,
    primary key (tenant_id, id)
);

select tenancy.protect(t) from unnest(array['app.customers', 'app.orders', 'app.a_lines', 'app.folders', 'app.nodes', 'app.teams',
    'app.people', 'app.devices', 'app.readings', 'app.kinds']::regclass[]) t;
select tenancy.protect('app."Odd table"', 'owner');
-- Numbers that only the system role reads.
create table app.scores (tenant_id text not null, score int not null);
alter table app.scores enable row level security;
alter table app.scores force row level security;
create policy tenancy_system on app.scores to tenancy_system using (true) with check (true);
grant select, insert, delete on app.scores to tenancy_system;
-- A secret column.
create table app.secrets (tenant_id text not null, id int not null, hint text, secret text, primary key (tenant_id, id));
select tenancy.protect('app.secrets');
revoke select on app.secrets from tenancy_app;
grant select (tenant_id, id, hint) on app.secrets to tenancy_app;
-- Not a tenant's.
create table app.countries (code text primary key);
grant select on app.countries to tenancy_app;
