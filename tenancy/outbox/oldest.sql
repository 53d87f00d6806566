-- The age in seconds of the oldest event that is not visible in the snapshot $1; 0 if there is none.
select coalesce(extract(epoch from clock_timestamp() - min(o.at)), 0)::float8
from tenancy.outbox o
where o.xid >= pg_snapshot_xmin($1::text::pg_snapshot)
  and o.seq > $2 and not pg_visible_in_snapshot(o.xid, $1::text::pg_snapshot)
