-- Asked while no open transaction has written events: the last event, if there is one. The write makes the commit wait for
-- the disk, where that event is then, too.
with noted as (
    select set_config('synchronous_commit', 'on', true), pg_current_xact_id()
)
select tenancy.outbox_log() as log, clock_timestamp() as now, coalesce(o.seq, 0) as top,
    coalesce(o.xid::text::bigint, 0) as xid, coalesce(o.id::text, '') as id, coalesce(o.at, 'epoch') as at
from noted left join (select * from tenancy.outbox order by seq desc limit 1) o on true
