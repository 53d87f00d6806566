-- The unfinished purge of tenant $1, or a new one with reason $2 and actor $3; $4 tells whether it is of a tenant that moved.
insert into registry.purges (tenant, reason, actor, moved) values ($1, $2, $3, $4)
on conflict (tenant, moved) where finished_at is null do update set tenant = excluded.tenant
returning id, reason, actor, started_at
