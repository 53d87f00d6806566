-- The next events of a relay; see tenancy.outbox_tick. Always at least one row, whose event may be missing.
select upto, log, now, known, coalesce(found, 0) as found, coalesce(seq, 0) as seq, coalesce(xid, 0) as xid, coalesce(id, '') as id,
    coalesce(tenant_id, '') as tenant_id, coalesce(type, '') as type, coalesce(key, '') as key,
    coalesce(payload, '') as payload, coalesce(at, now) as at
from tenancy.outbox_tick($1, $2, $3, $4, $5, $6, $7)
