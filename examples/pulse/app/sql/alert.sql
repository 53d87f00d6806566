-- What an alert says about incident $2 of team $1.
select m.name as monitor, m.url, i.cause, i.opened, i.closed
from pulse.incidents i
join pulse.monitors m on m.tenant_id = i.tenant_id and m.id = i.monitor_id
where i.tenant_id = $1 and i.id = $2
