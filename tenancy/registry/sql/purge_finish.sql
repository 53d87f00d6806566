-- Ends purge $1: the report without its hash, its hash, and the hash of the purge that ended before it.
update registry.purges set finished_at = $2, report = $3, hash = $4, number = $5 where id = $1 and finished_at is null
