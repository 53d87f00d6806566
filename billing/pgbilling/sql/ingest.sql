-- $1 provider, $2 event, $3 type, $4 kind, $5 object, $6 occurred at. No row: the event is known.
with fresh as (
	insert into billing.events (provider, event_id, type, kind, object_id, occurred_at)
	values ($1, $2, $3, $4, $5, $6)
	on conflict do nothing
	returning provider, kind, object_id
)
insert into billing.syncs as s (provider, kind, object_id)
select provider, kind, object_id from fresh
on conflict (provider, kind, object_id) do update set generation = s.generation + 1, updated_at = now()
returning generation, applied
