-- The transactions of this database, but for this one and those of the server itself. Those of superusers too: one may have set
-- another role, which nobody else can see.
select coalesce(array_agg(l.virtualtransaction), '{}')
from pg_locks l
join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'virtualxid' and l.virtualxid = l.virtualtransaction and a.datname = current_database()
  and a.usesysid is not null and l.pid <> pg_backend_pid()
