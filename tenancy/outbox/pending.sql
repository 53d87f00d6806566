-- How many events of the tenant $1, or of anybody if it is '', a sink does not have that has what is visible in the snapshot
-- $2 and, of what is visible in $3, the events up to the sequence $4; those up to $5 count as delivered. And whose log it is.
select tenancy.outbox_log() as log, count(o.seq) as events
from (select) one
left join tenancy.outbox o on o.xid >= pg_snapshot_xmin($2::text::pg_snapshot)
  and not pg_visible_in_snapshot(o.xid, $2::text::pg_snapshot)
  and o.seq > $5 and ($1 = '' or o.tenant_id = $1)
  and not (o.seq <= $4 and $3::text is not null and pg_visible_in_snapshot(o.xid, $3::text::pg_snapshot))
