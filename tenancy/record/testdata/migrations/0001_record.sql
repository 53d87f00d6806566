-- The tables of the tests. Needs the migrations of tenancy.

create schema app;
grant usage on schema app to tenancy_app, tenancy_system;

create table app.notes (
    tenant_id  text not null,
    id         text not null,
    version    bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz,
    title      text not null check (title <> ''),
    title_lc   text not null generated always as (lower(title)) stored,
    slug       text,
    stars      integer not null,
    ratio      double precision not null,
    due        timestamptz,
    open       boolean not null,
    tags       text[] not null,
    scores     bigint[] not null,
    raw        bytea not null,
    meta       jsonb not null,
    extra      jsonb,
    author     uuid,
    price      numeric not null,
    primary key (tenant_id, id),
    constraint notes_stars_check check (stars >= 0)
);
create unique index notes_slug on app.notes (tenant_id, slug) where deleted_at is null;
select tenancy.protect('app.notes');

-- A key that the database makes, no version, one unique constraint.
create table app.lines (
    tenant_id text not null,
    id        bigint generated always as identity,
    note_id   text,
    name      text not null,
    n         bigint not null default 7,
    primary key (tenant_id, id),
    unique (tenant_id, name),
    foreign key (tenant_id, note_id) references app.notes (tenant_id, id)
);
select tenancy.protect('app.lines');

-- A natural key of two columns.
create table app.places (
    tenant_id text not null,
    room      text not null,
    shelf     bigint not null,
    version   bigint not null,
    books     bigint not null,
    primary key (tenant_id, room, shelf)
);
select tenancy.protect('app.places');

create table app.taggeds (
    tenant_id text not null,
    id        text not null,
    version   bigint not null default 1,
    name      text not null,
    primary key (tenant_id, id)
);
select tenancy.protect('app.taggeds');

-- A table that all tenants share.
create table app.shareds (
    key     text primary key,
    version bigint not null,
    name    text not null unique
);
grant select, insert, update, delete on app.shareds to tenancy_app, tenancy_system;

-- A column for every kind of Go type.
create table app.kinds (
    tenant_id text not null,
    id        bigint not null,
    b         boolean,
    i8        smallint not null,
    i16       smallint not null,
    i32       integer,
    u         bigint not null,
    u32       bigint not null,
    f32       real not null,
    f64       double precision,
    day       date,
    moment    timestamptz not null,
    moments   timestamptz[] not null,
    flags     boolean[] not null,
    halves    double precision[] not null,
    blobs     bytea[] not null,
    states    text[] not null,
    opt_tags  text[],
    raw       jsonb not null,
    anything  jsonb,
    list      jsonb not null,
    dict      jsonb not null,
    ptr_json  jsonb,
    null_text text,
    null_int  bigint,
    amount    numeric not null,
    id_text   uuid not null,
    span      bigint not null,
    addr      inet,
    primary key (tenant_id, id)
);
select tenancy.protect('app.kinds');
