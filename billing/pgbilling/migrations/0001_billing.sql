-- Customers, followed objects and subscriptions of package billing.
-- Programs with one role let it inherit tenancy_system; see the package documentation.
do $$
declare
	r text;
begin
	foreach r in array array['tenancy_app', 'tenancy_system'] loop
		if not exists (select from pg_roles where rolname = r) then
			begin
				execute format('create role %I nologin', r);
			exception when duplicate_object or unique_violation then
				null; -- another database's migration was faster: roles belong to the whole server
			end;
		end if;
	end loop;
end
$$;

create schema billing;

-- Resolved when called, so that this migration runs with or without the tenancy schema. Without it
-- tenancy_app sees an error and no row; tenancy.tenant_id() itself raises when no tenant is set.
create function billing.tenant_id() returns text
	language plpgsql stable parallel safe
	set search_path = pg_catalog, pg_temp
as $$
begin
	return tenancy.tenant_id()::text;
end
$$;
revoke all on function billing.tenant_id() from public;
grant execute on function billing.tenant_id() to tenancy_app;

create table billing.customers (
	tenant_id   text not null check (tenant_id <> ''),
	provider    text not null check (provider <> ''),
	customer_id text not null check (customer_id <> ''),
	created_at  timestamptz not null default now(),
	primary key (tenant_id, provider),
	unique (provider, customer_id)
);

-- One row per event ever accepted; the body is not kept.
create table billing.events (
	provider    text not null,
	event_id    text not null,
	type        text not null,
	kind        text not null,
	object_id   text not null,
	occurred_at timestamptz,
	received_at timestamptz not null default now(),
	primary key (provider, event_id)
);

-- How far the copy of a provider's object is behind: it needs a fetch while applied < generation.
create table billing.syncs (
	provider   text not null,
	kind       text not null,
	object_id  text not null,
	generation bigint not null default 1,
	applied    bigint not null default 0 check (applied <= generation),
	updated_at timestamptz not null default now(),
	primary key (provider, kind, object_id)
);
create index syncs_behind on billing.syncs (updated_at) where applied < generation;

create table billing.subscriptions (
	provider             text not null,
	subscription_id      text not null,
	tenant_id            text check (tenant_id <> ''), -- null: nobody's customer, visible to the system only
	customer_id          text not null,
	state                text not null check (state in ('incomplete', 'incomplete_expired', 'trialing', 'active',
	                                                    'past_due', 'unpaid', 'paused', 'canceled')),
	plan                 text not null,
	price                text not null,
	cancel_at_period_end boolean not null,
	created_at           timestamptz,
	period_end           timestamptz,
	trial_end            timestamptz,
	updated_at           timestamptz not null default now(),
	primary key (provider, subscription_id)
);
create index subscriptions_tenant on billing.subscriptions (tenant_id, provider);
create index subscriptions_customer on billing.subscriptions (provider, customer_id);

do $$
declare
	t text;
begin
	foreach t in array array['customers', 'events', 'syncs', 'subscriptions'] loop
		execute format('alter table billing.%I enable row level security', t);
		execute format('alter table billing.%I force row level security', t);
		execute format('create policy tenancy_system on billing.%I to tenancy_system using (true) with check (true)', t);
		execute format('grant select, insert, update, delete on billing.%I to tenancy_system', t);
	end loop;
end
$$;

-- Tenants read their own; only the system writes.
create policy tenancy_app on billing.customers for select to tenancy_app
	using (tenant_id = (select billing.tenant_id()));
create policy tenancy_app on billing.subscriptions for select to tenancy_app
	using (tenant_id = (select billing.tenant_id()));
grant select on billing.customers, billing.subscriptions to tenancy_app;
grant usage on schema billing to tenancy_app, tenancy_system;
