-- $1 provider, $2 kind, $3 object, $4 generation. Takes the generation, once, and locks the object.
update billing.syncs set applied = $4, updated_at = now()
where provider = $1 and kind = $2 and object_id = $3 and applied < $4 and $4 <= generation
