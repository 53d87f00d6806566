-- The unfinished purge of tenant $1, or a new one with reason $2 and actor $3.
insert into registry.purges (tenant, reason, actor) values ($1, $2, $3)
on conflict (tenant) where finished_at is null do update set tenant = excluded.tenant
returning id, reason, actor, started_at
