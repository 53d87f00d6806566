-- Audit entries of tenant $1, newest first: of subject $2 and actor $3 unless they are '', before sequence $4 unless it is 0.
select seq, id::text as id, tenant_id, at, actor, on_behalf_of, ip, request_id, reason, role::text as role, action, subject, changes
from tenancy.audit
where tenant_id = $1 and ($2 = '' or subject = $2) and ($3 = '' or $3 in (actor, on_behalf_of)) and ($4::bigint = 0 or seq < $4)
order by seq desc
limit $5
