-- The audit entries of a unit.
-- $1 tenant, $2 actor as JSON or '', $3 ids, $4 actions, $5 subjects, $6 changes as JSON.
insert into tenancy.audit (id, tenant_id, actor, on_behalf_of, ip, request_id, reason, action, subject, changes)
select e.id::uuid, $1, coalesce(a.doc ->> 'id', ''), coalesce(a.doc ->> 'on_behalf_of', ''), coalesce(a.doc ->> 'ip', ''),
       coalesce(a.doc ->> 'request_id', ''), coalesce(a.doc ->> 'reason', ''), e.action, e.subject, e.changes::jsonb
from (select nullif($2::text, '')::jsonb as doc) a,
     unnest($3::text[], $4::text[], $5::text[], $6::text[]) with ordinality as e (id, action, subject, changes, n)
order by e.n
