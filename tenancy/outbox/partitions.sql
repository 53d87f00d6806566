-- The days that ended $1 seconds ago or earlier and have a partition.
select to_date(right(c.relname, 8), 'YYYYMMDD') as day
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'tenancy.outbox'::regclass and c.relname ~ '^outbox_\d{8}$'
  and (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC' <= now() - make_interval(secs => $1)
order by 1
