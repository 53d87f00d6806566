select t.id, t.slug, t.name, t.plan, t.state, t.read_only, t.reason, t.state_by, t.state_at, t.owners, t.version, t.created_at, t.updated_at,
    coalesce((select json_object_agg(s.name, s.value) from registry.settings s where s.tenant_id = t.tenant_id), '{}')::text as own
from registry.tenants t
where t.tenant_id = $1 and t.id = $1
