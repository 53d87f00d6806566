-- What was applied: one row per file.

create schema if not exists ashlar;
create table if not exists ashlar.migrations (
    source   text not null,
    name     text not null,
    checksum text not null,
    at       timestamptz not null default clock_timestamp(),
    primary key (source, name)
);
alter table ashlar.migrations add column if not exists adopted boolean not null default false;
