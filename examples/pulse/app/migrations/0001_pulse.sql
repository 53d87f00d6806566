-- What a team watches and whom it alerts; the teams themselves are in schema
-- registry. Every table belongs to a tenant.
create schema pulse;
grant usage on schema pulse to tenancy_app, tenancy_system;

-- Whom alerts reach; a record, see contacts.go.
create table pulse.contacts (
    tenant_id  text not null,
    id         text not null,
    version    bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    name       text not null,
    email      text not null,
    phone      text not null,
    primary key (tenant_id, id)
);
create unique index contacts_email on pulse.contacts (tenant_id, email);

create table pulse.monitors (
    tenant_id  text not null,
    id         text not null,
    name       text not null,
    url        text not null,
    interval_s integer not null,
    state      text not null,
    failures   integer not null,
    checked    timestamptz not null,      -- '0001-01-01': never
    version    bigint not null default 1,
    next_at    timestamptz not null default now(),
    created    timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index monitors_due on pulse.monitors (next_at);

create table pulse.incidents (
    tenant_id  text not null,
    id         text not null,
    monitor_id text not null,
    cause      text not null,
    opened     timestamptz not null,
    closed     timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, monitor_id) references pulse.monitors on delete cascade
);
-- A monitor is down once at a time, whatever the program does.
create unique index incidents_open on pulse.incidents (tenant_id, monitor_id) where closed is null;
create index incidents_recent on pulse.incidents (tenant_id, opened desc);

select tenancy.protect('pulse.contacts');
select tenancy.audit_changes('pulse.contacts', '{email,phone}'); -- who changed it, not the addresses
select tenancy.protect('pulse.monitors');
select tenancy.protect('pulse.incidents');
