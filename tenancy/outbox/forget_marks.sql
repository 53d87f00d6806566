-- Removes marks older than $1 seconds, at most $2.
delete from tenancy.inbox
where ctid = any (array(select i.ctid from tenancy.inbox i where i.at < now() - make_interval(secs => $1) limit $2))
