-- Events are on disk before a relay sees them, whatever synchronous_commit says: what was delivered did happen.
insert into tenancy.outbox (id, tenant_id, type, key, payload)
select e.id::uuid, (select tenancy.tenant_or_none()), e.type, e.key, e.payload
from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) with ordinality as e (id, type, key, payload, n)
where current_setting('synchronous_commit') <> 'off' or set_config('synchronous_commit', 'on', true) = 'on'
order by e.n
