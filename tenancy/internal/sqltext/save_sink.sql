-- Tells where a sink stands. $1 its id, $2 its name, $3 its position.
insert into tenancy.outbox_sink (id, name, position)
values ($1::text::uuid, $2, $3)
on conflict (id) do update set name = excluded.name, position = excluded.position, at = excluded.at
