-- The events with sequences over $1 and up to $2 that a sink does not have: neither visible in the snapshot $3, nor in $4
-- up to sequence $5. Transaction ids of another cluster may look as if they were: so an event from after $6 never is.
select '' as upto, '' as log, at as now, true as known, 0 as found, seq, xid::text::bigint as xid, id::text as id,
    tenant_id, type, key, payload, at
from tenancy.outbox
where seq > $1 and seq <= $2
  and not (at <= $6 and (pg_visible_in_snapshot(xid, $3::text::pg_snapshot)
                         or pg_visible_in_snapshot(xid, $4::text::pg_snapshot) and seq <= $5))
order by seq
limit $7
