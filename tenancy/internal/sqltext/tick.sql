-- The events that became visible between two snapshots, in order of their sequence.
-- $1 the older snapshot, $2 the newer one or null for now, $3 events up to this sequence are known, $4 limit.
with tick as materialized (
    select coalesce($2::text::pg_snapshot, pg_current_snapshot()) as upto
)
select o.seq, o.id::text as id, o.tenant_id, o.type, o.key, o.payload, o.at, tick.upto::text as upto
from tick, tenancy.outbox o
where (o.xid >= pg_snapshot_xmax($1::text::pg_snapshot)
       or o.xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot))))
  and pg_visible_in_snapshot(o.xid, tick.upto)
  and o.seq > $3
order by o.seq
limit $4
