-- Asked while no open transaction has written events. The write makes the commit wait for the disk, so that no transaction
-- id before this one is given out again after a crash.
with noted as (
    select set_config('synchronous_commit', 'on', true), pg_current_xact_id()
)
select tenancy.outbox_log() as log, clock_timestamp() as now, coalesce((select max(seq) from tenancy.outbox), 0) as top,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest
from noted
