-- The monitors of team $1, each with its open incident.
select m.id, m.name, m.url, m.interval_s, m.state, m.failures, m.checked, m.version, i.id as incident, i.cause, i.opened
from pulse.monitors m
left join pulse.incidents i on i.tenant_id = m.tenant_id and i.monitor_id = m.id and i.closed is null
where m.tenant_id = $1
