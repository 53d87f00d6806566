-- How many events of the tenant $1, or of anybody if it is '', a sink does not have that has what is visible in the snapshot
-- $2 and, of what is visible in $3, the events up to the sequence $4; those up to $5 count as delivered. And whose log it is, and
-- whether the sink's anchor, transaction $6 and id $7, is in it, as a relay asks: at most no event, so nothing is read.
select t.log, t.known, (
    select count(*) from tenancy.outbox o
    where o.xid >= pg_snapshot_xmin($2::text::pg_snapshot)
      and not pg_visible_in_snapshot(o.xid, $2::text::pg_snapshot)
      and o.seq > $5 and ($1 = '' or o.tenant_id = $1)
      and not (o.seq <= $4 and $3::text is not null and pg_visible_in_snapshot(o.xid, $3::text::pg_snapshot))
) as events
from tenancy.outbox_tick($2, $3, greatest($4::bigint, $5::bigint), 0, 0, $6, $7) t
