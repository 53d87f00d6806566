-- Adds to the number of rows that purge $1 has deleted from table $2.
insert into registry.purge_tables as t (purge_id, name, deleted) values ($1, $2, $3)
on conflict (purge_id, name) do update set deleted = t.deleted + excluded.deleted
