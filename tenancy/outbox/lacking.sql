-- The events with sequences over $1 and up to $2 that a sink does not have. It has those that are visible in the snapshot
-- $3, those in $4 up to sequence $5, and all up to sequence $6, but nothing from after $7: there, another database has given
-- the same transaction ids and sequences to other events. A Rebase before this one delivered up to sequence $8, from before $9.
select '' as upto, '' as log, at as now, true as known, 0 as found, seq, xid::text::bigint as xid, id::text as id,
    tenant_id, type, key, payload, at
from tenancy.outbox
where seq > $1 and seq <= $2
  and not (at <= $7 and (pg_visible_in_snapshot(xid, $3::text::pg_snapshot)
                         or pg_visible_in_snapshot(xid, $4::text::pg_snapshot) and seq <= $5
                         or seq <= $6))
  and not (at <= $9 and seq <= $8)
order by seq
limit $10
