select id::text as id, name, position, at
from tenancy.outbox_sink
order by at, id
