-- What is known of a subscription by its id alone goes with its row: the marks of its events and how far its copy is behind.
-- Nothing but the purge of a tenant deletes subscriptions. An event that comes afterwards is followed as one of nobody.
create index events_object on billing.events (provider, kind, object_id);

create function billing.forget_subscription() returns trigger
	language plpgsql
	set search_path = pg_catalog, pg_temp
as $$
begin
	delete from billing.events where provider = old.provider and kind = 'subscription' and object_id = old.subscription_id;
	delete from billing.syncs where provider = old.provider and kind = 'subscription' and object_id = old.subscription_id;
	return null;
end
$$;
revoke all on function billing.forget_subscription() from public;
create trigger forget after delete on billing.subscriptions
	for each row execute function billing.forget_subscription();
