-- $1 provider, $2 kind, $3 object.
select generation, applied
from billing.syncs
where provider = $1 and kind = $2 and object_id = $3
