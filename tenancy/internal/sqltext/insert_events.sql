insert into tenancy.outbox (id, tenant_id, type, key, payload)
select e.id::uuid, (select tenancy.tenant_or_none()), e.type, e.key, e.payload
from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) with ordinality as e (id, type, key, payload, n)
order by e.n
