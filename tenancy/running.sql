-- The transactions of this database, but for this one and those of superusers and of the server itself.
select coalesce(array_agg(l.virtualtransaction), '{}')
from pg_locks l
join pg_stat_activity a on a.pid = l.pid
join pg_roles u on u.oid = a.usesysid
where l.locktype = 'virtualxid' and l.virtualxid = l.virtualtransaction and a.datname = current_database()
  and not u.rolsuper and l.pid <> pg_backend_pid()
