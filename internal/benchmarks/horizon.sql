-- What a reader sees that waits for the oldest open transaction, as Watermill's does: $1 and $2 its cursor.
select xid::text as xid, seq, tenant_id, type, payload
from tenancy.outbox
where (xid, seq) > ($1::text::xid8, $2::bigint) and xid < pg_snapshot_xmin(pg_current_snapshot())
order by outbox.xid, outbox.seq
limit 500
